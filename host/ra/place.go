package ra

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino/host"
)

// place is a namespace with devices that advertise. It is kept open.
type place struct {
	name     string
	dev, ino uint64
	fd       netns.NsHandle // netns.None for our own
	nl       *netlink.Handle
	watch    *os.File // a subscription to changes
	stale    bool     // something changed since its devices were looked at
	closed   bool
}

// facts are what a sender needs to know of its device.
type facts struct {
	index  int
	mac    net.HardwareAddr
	source netip.Addr // link-local, the zero Addr while there is none
}

func (f facts) equal(g facts) bool {
	return f.index == g.index && f.source == g.source && slices.Equal(f.mac, g.mac)
}

// find is which namespace a path stands for; ok is false when it is none, as a
// name that a crash left behind.
func find(path string) (dev, ino uint64, ok bool) {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(path, &fs) != nil || fs.Type != unix.NSFS_MAGIC || unix.Stat(path, &st) != nil {
		return 0, 0, false
	}
	return st.Dev, st.Ino, true
}

// current reports whether the name still stands for this namespace.
func (p *place) current(path string) bool {
	if p.name == "" {
		return true
	}
	dev, ino, ok := find(path)
	return ok && dev == p.dev && ino == p.ino
}

// enter opens a namespace by name and begins to hear of its devices.
func enter(name, path string) (*place, error) {
	p := &place{name: name, fd: netns.None()}
	if name != "" {
		var ok bool
		if p.dev, p.ino, ok = find(path); !ok {
			return nil, &host.Absent{What: "namespace " + name}
		}
		var err error
		if p.fd, err = netns.GetFromPath(path); err != nil {
			return nil, fmt.Errorf("open namespace %s: %w", name, err)
		}
	}
	err := p.in(func() (err error) {
		if p.watch, err = subscribe(); err != nil {
			return fmt.Errorf("watch namespace %q: %w", name, err)
		}
		p.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// subscribe opens a socket that hears of changes of devices and of their IPv6
// addresses.
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	groups := uint32(1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

func (p *place) close() {
	p.closed = true
	if p.watch != nil {
		_ = p.watch.Close()
	}
	if p.nl != nil {
		p.nl.Close()
	}
	if p.fd.IsOpen() {
		_ = p.fd.Close()
	}
}

// in runs a function in the namespace, on a thread that dies after it. The
// first thread of a process cannot die and is what others see of it: it is held
// while another one enters.
func (p *place) in(f func() error) error {
	if p.name == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- p.in(f)
			return
		}
		if err := netns.Set(p.fd); err != nil {
			done <- fmt.Errorf("enter namespace %s: %w", p.name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// dumps is how often an interrupted dump is tried.
const dumps = 10

func dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		out, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == dumps {
			return out, err
		}
	}
}

// devices are the devices of the namespace by name.
func (p *place) devices() (map[string]facts, error) {
	links, err := dump(p.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list devices of namespace %q: %w", p.name, err)
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return p.nl.AddrList(nil, netlink.FAMILY_V6) })
	if err != nil {
		return nil, fmt.Errorf("list addresses of namespace %q: %w", p.name, err)
	}
	sources := map[int][]netip.Addr{}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		ones, bits := a.Mask.Size()
		usable := a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
		// A single address is a service's, not the device's own.
		if ok && usable && ip.IsLinkLocalUnicast() && ones < bits {
			sources[a.LinkIndex] = append(sources[a.LinkIndex], ip)
		}
	}
	out := make(map[string]facts, len(links))
	for _, l := range links {
		a := l.Attrs()
		out[a.Name] = facts{index: a.Index, mac: a.HardwareAddr, source: choose(sources[a.Index], a.HardwareAddr)}
	}
	return out, nil
}

// choose is the address that follows from the MAC (RFC 4291, appendix A), or
// else the first in order: the same one after every restart, since hosts know
// the router by it.
func choose(from []netip.Addr, mac net.HardwareAddr) netip.Addr {
	if len(from) == 0 {
		return netip.Addr{}
	}
	if len(mac) == 6 {
		usual := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
		if slices.Contains(from, usual) {
			return usual
		}
	}
	return slices.MinFunc(from, netip.Addr.Compare)
}
