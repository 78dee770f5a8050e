package ra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Groups of the link (RFC 4291, 2.7.1).
var (
	allNodes   = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 1})
	allRouters = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 2})
)

// socket is a raw ICMPv6 socket (RFC 3542) on one device, which hears router
// solicitations only and speaks from the device's link-local address. The
// kernel makes and checks checksums.
type socket struct {
	file  *os.File
	raw   syscall.RawConn
	index int
	buf   [1500]byte
	oob   [64]byte
}

// receiveBuffer is how many bytes of questions wait in a socket: a flood is
// dropped by the kernel.
const receiveBuffer = 32 << 10

// dial opens the socket. It runs in the device's namespace.
func dial(device string, f facts) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, fmt.Errorf("open an ICMPv6 socket: %w", err)
	}
	if err := prepare(fd, device, f); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	s := &socket{file: os.NewFile(uintptr(fd), "icmpv6"), index: f.index}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil, err
	}
	return s, nil
}

func prepare(fd int, device string, f facts) error {
	filter := unix.ICMPv6Filter{}
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0) // a set bit blocks
	}
	filter.Data[typeSolicitation/32] &^= 1 << (typeSolicitation % 32)
	if err := unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
		return fmt.Errorf("filter solicitations: %w", err)
	}
	if err := unix.BindToDevice(fd, device); err != nil {
		return fmt.Errorf("bind to %s: %w", device, err)
	}
	for _, o := range [...]struct {
		level, name, value int
		what               string
	}{
		{unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer, "receive buffer"},
		{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit, "hop limit"},
		{unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hopLimit, "hop limit"},
		{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, f.index, "multicast device"},
		{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0, "multicast loop"},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1, "received hop limit"},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set the %s on %s: %w", o.what, device, err)
		}
	}
	group := unix.IPv6Mreq{Multiaddr: allRouters.As16(), Interface: uint32(f.index)}
	if err := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &group); err != nil {
		return fmt.Errorf("join the routers of %s: %w", device, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: f.source.As16(), ZoneId: uint32(f.index)}); err != nil {
		return fmt.Errorf("bind to %s on %s: %w", f.source, device, err)
	}
	return nil
}

// send sends a message without waiting.
func (s *socket) send(message []byte, to netip.Addr) error {
	var sent error
	err := s.raw.Control(func(fd uintptr) {
		sent = unix.Sendto(int(fd), message, unix.MSG_DONTWAIT, &unix.SockaddrInet6{Addr: to.As16(), ZoneId: uint32(s.index)})
	})
	return errors.Join(err, sent)
}

// receive waits for a message until the deadline of [socket.until]. A message
// that is no solicitation to believe comes back without a sender.
func (s *socket) receive() (from netip.Addr, err error) {
	var n, oobn, flags int
	var peer unix.Sockaddr
	var failed error
	err = s.raw.Read(func(fd uintptr) bool {
		n, oobn, flags, peer, failed = unix.Recvmsg(int(fd), s.buf[:], s.oob[:], 0)
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	if err = errors.Join(err, failed); err != nil {
		return netip.Addr{}, err
	}
	sender, ok := peer.(*unix.SockaddrInet6)
	if !ok || flags&unix.MSG_TRUNC != 0 || hops(s.oob[:oobn]) != hopLimit {
		return netip.Addr{}, nil
	}
	from = netip.AddrFrom16(sender.Addr)
	if checkSolicitation(s.buf[:n], from) != nil {
		return netip.Addr{}, nil
	}
	return from, nil
}

// hops is the hop limit of a message, 0 when the kernel does not say.
func hops(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

// until sets when receive gives up. A socket that is closed needs none.
func (s *socket) until(t time.Time) { _ = s.file.SetReadDeadline(t) }

func (s *socket) close() { _ = s.file.Close() }
