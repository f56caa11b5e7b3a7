#!/bin/sh
# The first process of a guest once it stands on its root file system: the
# modules, the job, power off.
. "$PASSTHRU_RUN/settings.sh"
[ -z "$LOAD" ] || modprobe -a $LOAD

# which port is which, by the names the host gave them
for port in /sys/class/virtio-ports/*; do
  read -r name < "$port/name"
  case $name in
    events) events=/dev/${port##*/} ;;
    stdout) stdout=/dev/${port##*/} ;;
    stderr) stderr=/dev/${port##*/} ;;
  esac
done
# From here on the console shows all messages, which may explain a failed test.
echo 7 > /proc/sys/kernel/printk
echo started > "$events"
if [ -n "$TERMINAL" ]; then
  # Kept open, as the last close resets the terminal's settings.
  exec 0<> /dev/hvc0
  stty sane $TERMINAL
  setsid -c sh "$PASSTHRU_RUN/job.sh" >&0 2>&0
else
  setsid sh "$PASSTHRU_RUN/job.sh" < /dev/null > "$stdout" 2> "$stderr"
fi
echo $? > "$events"
echo o > /proc/sysrq-trigger
sleep 60
