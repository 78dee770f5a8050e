package metadata

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
)

// inode says which namespace a name stands for.
type inode struct{ dev, ino uint64 }

// identify finds the namespace behind a name; "" is the agent's own.
func (h *Hand) identify(ns string) (inode, error) {
	if ns == "" {
		return inode{}, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(h.options.NetNSDir, ns), &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return inode{}, &host.Absent{What: "namespace " + ns}
		}
		return inode{}, fmt.Errorf("namespace %s: %w", ns, err)
	}
	return inode{st.Dev, st.Ino}, nil
}

func (h *Hand) listen(k host.ListenerKey) (net.Listener, error) {
	address, err := netip.ParseAddrPort(k.Address)
	if err != nil {
		return nil, err
	}
	path := ""
	if k.NetNS != "" {
		path = filepath.Join(h.options.NetNSDir, k.NetNS)
	}
	var fd int
	err = inside.Namespace(path, func() error {
		fd, err = listenOn(address)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), k.Address)
	defer f.Close() // FileListener has a copy
	return net.FileListener(f)
}

// backlog is how many connections wait to be accepted; the kernel may allow less.
const backlog = 1024

// listenOn opens a listening socket in the namespace of the calling thread. The
// address need not be there yet (IP_FREEBIND).
func listenOn(a netip.AddrPort) (int, error) {
	domain := unix.AF_INET
	if a.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd, a); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("listen on %s: %w", a, err)
	}
	return fd, nil
}

func prepare(fd int, a netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("reuse address", err)
	}
	// It holds for IPv6 too.
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1); err != nil {
		return os.NewSyscallError("freebind", err)
	}
	var to unix.Sockaddr
	if a.Addr().Is4() {
		to = &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	} else {
		if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return os.NewSyscallError("IPv6 only", err)
		}
		zone, err := zoneOf(a.Addr())
		if err != nil {
			return err
		}
		to = &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zone}
	}
	if err := unix.Bind(fd, to); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

// zoneOf is the number of the device that a link-local address is on: the one
// that it names, or the one in the namespace that has the address.
func zoneOf(a netip.Addr) (uint32, error) {
	if !a.IsLinkLocalUnicast() {
		return 0, nil
	}
	if name := a.Zone(); name != "" {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return 0, &host.Absent{What: "device " + name}
		}
		return uint32(i.Index), nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			return 0, err
		}
		for _, has := range addresses {
			if n, ok := has.(*net.IPNet); ok && n.IP.Equal(a.AsSlice()) {
				return uint32(i.Index), nil
			}
		}
	}
	return 0, &host.Absent{What: "address " + a.String()}
}
