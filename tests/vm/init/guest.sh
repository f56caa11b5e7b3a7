#!/bin/sh
# The first process of a guest once it stands on the host's root file system:
# what an ordinary system has at this point, then the job, then power off.
# PASSTHRU_RUN is the directory of this run, from the kernel command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bb=/bin/busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /dev/hugepages
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t hugetlbfs hugetlbfs /dev/hugepages
mount -t debugfs debugfs /sys/kernel/debug
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
$bb ip link set lo up
$bb hostname passthru

. "$PASSTHRU_RUN/job.env"

# the modules of this kernel; what is built in loads as nothing
release=$(uname -r)
mkdir -p "/lib/modules/$release"
mount --bind "$PASSTHRU_MODULES" "/lib/modules/$release"
modprobe -q -a nvme e1000e igb vfio-pci vfio_iommu_type1

# an ordinary user of the guest may enter the checkout and the cache, wherever
# they lie
for path in "$PASSTHRU_CWD" "$DENO_DIR" "$PASSTHRU_DENO"; do
  while [ "$path" != / ] && [ -n "$path" ]; do
    chmod o+x "$path" 2> /dev/null
    path=$(dirname "$path")
  done
done

# which port is which, by the names the host gave them
port() {
  for named in /sys/class/virtio-ports/*; do
    if [ "$(cat "$named/name")" = "$1" ]; then
      echo "/dev/$(basename "$named")"
    fi
  done
}
cd "$PASSTHRU_CWD" || cd /
if [ -n "$PASSTHRU_TERMINAL" ]; then
  stty sane $PASSTHRU_TERMINAL < /dev/hvc0
  setsid -c sh "$PASSTHRU_RUN/job.sh" < /dev/hvc0 > /dev/hvc0 2>&1
else
  setsid sh "$PASSTHRU_RUN/job.sh" \
    < /dev/null > "$(port stdout)" 2> "$(port stderr)"
fi
echo $? > "$(port exit)"
echo o > /proc/sysrq-trigger
sleep 60
