package probe

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
)

// earKey is what one socket hears: a protocol on a device.
type earKey struct {
	ns, device string
	ipv6       bool
}

func place(k host.ProbeKey, a netip.Addr) earKey { return earKey{k.NetNS, k.Device, a.Is6()} }

// inode says which namespace a name stands for; zero for none.
type inode struct{ dev, ino uint64 }

func identify(path string) inode {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return inode{}
	}
	return inode{st.Dev, st.Ino}
}

// ear is a packet socket on a device, packet(7). It hears only those who say to
// have an address.
type ear struct {
	file      *os.File
	raw       syscall.RawConn
	index     int
	namespace inode
}

// receiveBuffer is how many bytes wait in a socket: a flood is dropped by the kernel.
const receiveBuffer = 64 << 10

// listen opens the socket in a namespace.
func listen(path string, k earKey) (*ear, error) {
	e := &ear{namespace: identify(path)}
	fd := -1
	err := inside.Namespace(path, func() error {
		i, err := net.InterfaceByName(k.device)
		if err != nil {
			return fmt.Errorf("device %s: %w", k.device, err)
		}
		e.index = i.Index
		// Protocol 0: nothing is heard before the filter is there.
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		return prepare(fd, i.Index, k.ipv6)
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	e.file = os.NewFile(uintptr(fd), "packet")
	if e.raw, err = e.file.SyscallConn(); err != nil {
		_ = e.file.Close()
		return nil, err
	}
	return e, nil
}

func prepare(fd, index int, ipv6 bool) error {
	program, protocol := arpFilter(), uint16(etherTypeARP)
	if ipv6 {
		program, protocol = ndFilter(), etherTypeIPv6
	}
	fprog := &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	to := &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8, Ifindex: index}
	if err := unix.Bind(fd, to); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// Classic BPF: whole frames pass, or none of them.
const (
	loadHalf   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	loadWord   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	loadByte   = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	jumpEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jumpEqualX = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X
	toX        = unix.BPF_MISC | unix.BPF_TAX
	give       = unix.BPF_RET | unix.BPF_K
	whole      = 0xffff
)

// arpFilter passes replies, and requests of a sender for its own address.
func arpFilter() []unix.SockFilter {
	return []unix.SockFilter{
		{Code: loadHalf, K: etherLen + 6}, {Code: jumpEqual, K: arpReply, Jt: 4},
		{Code: loadWord, K: etherLen + 14}, {Code: toX}, {Code: loadWord, K: etherLen + 24}, {Code: jumpEqualX, Jf: 1},
		{Code: give, K: whole}, {Code: give, K: 0},
	}
}

// ndFilter passes neighbour advertisements.
func ndFilter() []unix.SockFilter {
	return []unix.SockFilter{
		{Code: loadByte, K: etherLen + 6}, {Code: jumpEqual, K: icmpv6, Jf: 3},
		{Code: loadByte, K: etherLen + ipv6Len}, {Code: jumpEqual, K: typeAdvertisement, Jf: 1},
		{Code: give, K: whole}, {Code: give, K: 0},
	}
}

// errGone is the device's end.
var errGone = errors.New("the device is gone")

// mac is the device's present MAC.
func mac(fd int) (net.HardwareAddr, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	ll, ok := name.(*unix.SockaddrLinklayer)
	if !ok || ll.Halen != 6 {
		return nil, errGone
	}
	return net.HardwareAddr(append([]byte{}, ll.Addr[:6]...)), nil
}

// send sends what is made with the device's MAC, without waiting.
func (e *ear) send(question func(net.HardwareAddr) []byte) error {
	var failed error
	err := e.raw.Control(func(fd uintptr) {
		own, err := mac(int(fd))
		if err == nil {
			err = unix.Sendto(int(fd), question(own), unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: e.index})
		}
		failed = err
	})
	return errors.Join(err, failed)
}

// listen tells who says to have an address, but for the device itself, until
// the socket is closed or its device goes.
func (e *ear) listen(tell func(claim)) {
	buf := make([]byte, 256) // the longest of these frames is shorter
	for {
		var n int
		var own net.HardwareAddr
		var failed error
		err := e.raw.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), buf, 0)
			if failed == nil {
				own, failed = mac(int(fd))
			}
			return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
		})
		if err != nil || failed != nil && !errors.Is(failed, unix.ENETDOWN) && !errors.Is(failed, unix.ENOBUFS) {
			return
		}
		if failed != nil {
			continue // the device is down: the error was told once
		}
		if c, ok := parse(buf[:n]); ok && !bytes.Equal(c.mac, own) {
			tell(c)
		}
	}
}

func (e *ear) close() { _ = e.file.Close() }

// refused is the address that the kernel does not use because its duplicate
// address detection found it to be another's: the one that is asked for, or the
// device's own link-local one.
func refused(path, device string, a netip.Addr) (found netip.Addr, err error) {
	err = inside.Namespace(path, func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(link, netlink.FAMILY_V6)
		for _, has := range list {
			ip, ok := netip.AddrFromSlice(has.IP)
			if ok && has.Flags&unix.IFA_F_DADFAILED != 0 && (ip == a || ip.IsLinkLocalUnicast()) {
				found = ip
			}
		}
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil // the next question looks again
		}
		return err
	})
	return found, err
}
