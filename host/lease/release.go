package lease

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
)

const (
	tries = 3
	// patience is how long a server may take after each try to write its file.
	patience = 300 * time.Millisecond
	poll     = 2 * time.Millisecond
	// volley is how many packets are sent before the file is looked at: they fit
	// into the buffer of a server's socket.
	volley = 64
)

// errKept is a server that was told and did not let go.
var errKept = errors.New("the DHCP server keeps it although it was released")

// server is how a directory's server is reached.
type server struct {
	netns  string // file
	device string
	four   netip.Addr // its address; invalid where not known
	duid   []byte     // what it calls itself in DHCPv6
}

// release gives leases of one server back and returns those that are still in
// its file. A server that does not run is not told: its file is.
func (h *Hand) release(ctx context.Context, dir string, keys []host.LeaseKey) ([]host.LeaseKey, error) {
	pid := running(dir)
	if pid == 0 {
		gone := map[host.LeaseKey]bool{}
		for _, k := range keys {
			gone[k] = true
		}
		if err := strike(dir, gone); err != nil {
			return keys, err
		}
		return nil, nil
	}
	s, err := h.reach(dir, pid)
	if err != nil {
		return keys, err
	}
	left := keys
	for len(left) > 0 {
		first := left[:min(volley, len(left))]
		kept, err := h.persist(ctx, s, dir, first)
		if len(kept) > 0 {
			return slices.Concat(kept, left[len(first):]), err
		}
		left = left[len(first):]
	}
	return nil, nil
}

// persist tells a server a few times.
func (h *Hand) persist(ctx context.Context, s server, dir string, keys []host.LeaseKey) ([]host.LeaseKey, error) {
	failed := errKept
	for range tries {
		mine, duid, err := pick(ctx, dir, keys)
		if err != nil {
			return keys, err
		}
		if len(mine) == 0 {
			return nil, nil
		}
		s.duid = duid
		if err := inside.Namespace(s.netns, func() error { return s.send(mine) }); err != nil {
			failed = err
		}
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if mine, _, err = pick(ctx, dir, keys); err != nil {
				return keys, err
			}
			if len(mine) == 0 {
				return nil, nil
			}
			select {
			case <-ctx.Done():
				return keys, ctx.Err()
			case <-time.After(poll):
			}
		}
		keys = keysOf(dir, mine)
	}
	return keys, failed
}

// pick reads a server's file: the leases of these keys, and what the server
// calls itself in DHCPv6.
func pick(ctx context.Context, dir string, keys []host.LeaseKey) (mine []record, duid []byte, err error) {
	c, err := settled(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) { // gone with its network
		return nil, nil, nil
	}
	for _, r := range c.content.records {
		if slices.Contains(keys, r.key(dir)) {
			mine = append(mine, r)
		}
	}
	return mine, c.content.server, err
}

func keysOf(dir string, records []record) []host.LeaseKey {
	var out []host.LeaseKey
	for _, r := range records {
		out = append(out, r.key(dir))
	}
	return out
}

// reach says where a server is: by the plan, or by its own files and process.
func (h *Hand) reach(dir string, pid int) (server, error) {
	s := server{netns: filepath.Join("/proc", strconv.Itoa(pid), "ns/net")}
	for _, known := range h.servers[dir] {
		if s.netns = ""; known.NetNS != "" {
			s.netns = filepath.Join(h.o.NetNSDir, known.NetNS)
		}
		s.device = known.Device
		if a, err := netip.ParseAddr(known.Server); err == nil && a.Is4() {
			s.four = a
		}
	}
	if s.device == "" {
		name, err := os.ReadFile(filepath.Join(dir, interfaceName))
		if err != nil {
			return s, fmt.Errorf("nothing says by which device the server is reached: %w", err)
		}
		s.device = strings.TrimSpace(string(name))
	}
	return s, nil
}

// send sends a release for each record. It runs in the server's namespace: what
// is sent to the server's own address by its device is to it a packet that came
// in by that device.
func (s server) send(records []record) error {
	device, err := net.InterfaceByName(s.device)
	if err != nil {
		return fmt.Errorf("device %s: %w", s.device, err)
	}
	var errs []error
	for _, six := range []bool{false, true} {
		var mine []record
		for _, r := range records {
			if r.ip.Is6() == six {
				mine = append(mine, r)
			}
		}
		if len(mine) > 0 {
			errs = append(errs, s.sendFamily(device, mine))
		}
	}
	return errors.Join(errs...)
}

// sendFamily sends records of one family from a socket that is bound to the device.
func (s server) sendFamily(device *net.Interface, records []record) error {
	family := unix.AF_INET
	if records[0].ip.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.BindToDevice(fd, s.device); err != nil {
		return fmt.Errorf("bind to %s: %w", s.device, err)
	}
	if family == unix.AF_INET6 { // it is for this host only
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 0); err != nil {
			return fmt.Errorf("socket: %w", err)
		}
	}
	for _, r := range records {
		var packet []byte
		var to unix.Sockaddr
		if family == unix.AF_INET {
			at, err := s.address(device, r.ip)
			if err != nil {
				return err
			}
			packet, to = releaseFour(r, at), &unix.SockaddrInet4{Port: 67, Addr: at.As4()}
		} else {
			// All_DHCP_Relay_Agents_and_Servers; the server hears its own host.
			packet, to = releaseSix(r, s.duid), &unix.SockaddrInet6{Port: 547, ZoneId: uint32(device.Index),
				Addr: netip.MustParseAddr("ff02::1:2").As16()}
		}
		if err := unix.Sendto(fd, packet, 0, to); err != nil {
			return fmt.Errorf("send to the DHCP server: %w", err)
		}
	}
	return nil
}

// address is the server's address for a lease: on its device, in the lease's
// subnet. A network has several where it has several subnets.
func (s server) address(device *net.Interface, lease netip.Addr) (netip.Addr, error) {
	list, err := device.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of %s: %w", s.device, err)
	}
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Contains(lease) {
			return p.Addr(), nil
		}
	}
	if s.four.IsValid() {
		return s.four, nil
	}
	return netip.Addr{}, fmt.Errorf("%s has no address in the subnet of %s", s.device, lease)
}
