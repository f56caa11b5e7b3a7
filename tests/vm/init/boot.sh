#!/bin/busybox sh
# The first process of a guest, in the initramfs: the host's root file system,
# read-only over 9p, under an overlay in memory. Everything is writable, and
# nothing that is written leaves the guest. As much as possible is done here:
# under emulation a static busybox starts much quicker than the host's programs.
/bin/busybox --install -s /bin

# When this script ends, the kernel panics, which the host notices.
fail() {
  echo "passthru: $1"
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
  -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /sysroot ||
  fail "cannot mount the overlay"

# PASSTHRU_RUN is from the kernel command line.
. "/sysroot$PASSTHRU_RUN/settings.sh" || fail "cannot read the run's settings"

mount --move /dev /sysroot/dev
cd /sysroot/dev
mkdir -p pts shm hugepages
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts pts
mount -t tmpfs -o mode=1777 tmpfs shm
mount -t hugetlbfs hugetlbfs hugepages
ln -s /proc/self/fd fd
ln -s /proc/self/fd/0 stdin
ln -s /proc/self/fd/1 stdout
ln -s /proc/self/fd/2 stderr
mount -t proc proc /sysroot/proc
mount -t sysfs sysfs /sysroot/sys
mount -t debugfs debugfs /sysroot/sys/kernel/debug
mount -t tmpfs -o mode=755 tmpfs /sysroot/run
mkdir -p "/sysroot/lib/modules/$RELEASE"
mount --bind "/sysroot$MODULES" "/sysroot/lib/modules/$RELEASE"
echo "$NAME" > /sysroot/proc/sys/kernel/hostname
ip link set lo up

# Lets an ordinary user of the guest enter the directories above the checkout,
# Deno and the cache.
cd /sysroot
chmod o+x $REACH

exec switch_root /sysroot /bin/sh "$PASSTHRU_RUN/start.sh"
