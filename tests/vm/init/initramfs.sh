#!/bin/busybox sh
# The first process of a guest, in the initramfs: the host's root file system,
# read-only over 9p, under an overlay in memory. Everything is writable and
# nothing that is written leaves the guest.
/bin/busybox --install -s /bin
fail() {
  echo "passthru: $1" > /dev/console
  # without the host's file system there is no way back but the console
  exit 1
}
mount -t devtmpfs dev /dev
while read -r module; do
  insmod "/modules/$module" || fail "cannot load $module"
done < /modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro \
  host /lower || fail "cannot mount the host's root file system"
mount -t tmpfs -o size=75%,mode=755 tmpfs /over
mkdir /over/upper /over/work
mount -t overlay \
  -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /root ||
  fail "cannot mount the overlay"
mount --move /dev /root/dev
exec switch_root /root /bin/sh "$PASSTHRU_RUN/init.sh"
