package link

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The two requests of ethtool that we make (linux/ethtool.h).
const (
	ethtoolGetTxChecksum = 0x16 // ETHTOOL_GTXCSUM
	ethtoolSetTxChecksum = 0x17 // ETHTOOL_STXCSUM
)

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// ifreq is struct ifreq (netdevice(7)) with its pointer member.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the union is 24 bytes
}

func ioctlSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket for ioctl: %w", err)
	}
	return fd, nil
}

func ethtool(sock int, device string, v *ethtoolValue) error {
	if len(device) >= unix.IFNAMSIZ {
		return fmt.Errorf("ethtool: device name %q is too long", device)
	}
	r := ifreq{data: unsafe.Pointer(v)}
	copy(r.name[:], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(sock), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r)))
	runtime.KeepAlive(v)
	if errno != 0 {
		return fmt.Errorf("ethtool: %s: %w", device, errno)
	}
	return nil
}

// txChecksum reports whether the device leaves transmit checksums to whoever
// takes its frames.
func txChecksum(sock int, device string) (bool, error) {
	v := ethtoolValue{cmd: ethtoolGetTxChecksum}
	err := ethtool(sock, device, &v)
	return v.data != 0, err
}

// offload is whether transmit checksum offload is to be on or off.
type offload uint32

const (
	offloadOff offload = 0
	offloadOn  offload = 1
)

func setTxChecksum(sock int, device string, o offload) error {
	return ethtool(sock, device, &ethtoolValue{cmd: ethtoolSetTxChecksum, data: uint32(o)})
}

// TxChecksumOff turns transmit checksum offload off on a device of the calling
// thread's namespace, as "ethtool -K <device> tx off" does: what reads the
// frames from a socket, as OVS in user space does, needs checksums filled in.
func TxChecksumOff(device string) error {
	sock, err := ioctlSocket()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(sock) }()
	return setTxChecksum(sock, device, offloadOff)
}

// sysctlPath is where a setting is found. As with sysctl(8), a "/" in the name
// stands for a "." in a device's name.
func sysctlPath(name string) string {
	swap := strings.NewReplacer(".", "/", "/", ".")
	return filepath.Join("/proc/sys", swap.Replace(name))
}

// ReadSysctl is the value of a setting in the calling thread's namespace, its
// fields separated by single spaces.
func ReadSysctl(name string) (string, error) {
	b, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return "", fmt.Errorf("sysctl: %w", err)
	}
	return tidy(string(b)), nil
}

// WriteSysctl sets a setting in the calling thread's namespace, unless it has
// the value already.
func WriteSysctl(name, value string) error {
	if have, err := ReadSysctl(name); err == nil && have == tidy(value) {
		return nil
	}
	f, err := os.OpenFile(sysctlPath(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	_, err = f.WriteString(value)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("sysctl: set %s to %q: %w", name, value, err)
	}
	return nil
}

func tidy(s string) string { return strings.Join(strings.Fields(s), " ") }
