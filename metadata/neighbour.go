package metadata

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino"
	"neutrino/host"
	"neutrino/host/inside"
)

// resolver finds the MAC of a station that a socket's namespace talks to.
type resolver interface {
	// mac is the hardware address that frames for the address go to. It is an
	// error when the namespace has none, or more than one.
	mac(client netip.Addr) (neutrino.MAC, error)
	close()
}

// resolverFor opens a resolver for a socket in the namespace behind a name.
func (h *Hand) resolverFor(ns string, wanted host.Listener) (resolver, error) {
	if h.options.resolve != nil {
		return h.options.resolve(wanted), nil
	}
	path := ""
	if ns != "" {
		path = filepath.Join(h.options.NetNSDir, ns)
	}
	var n *neighbours
	err := inside.Namespace(path, func() (err error) {
		n, err = openNeighbours()
		return err
	})
	return n, err
}

// neighbours reads the kernel's neighbour tables of one namespace. What the
// kernel answered a client by is there: without an entry it could not have sent
// the segment that opened the connection.
type neighbours struct {
	mu      sync.Mutex
	handles map[int]*nl.SocketHandle
}

// openNeighbours opens a socket in the namespace of the calling thread. It stays
// in that namespace, from whatever thread it is used.
func openNeighbours() (*neighbours, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for neighbours: %w", err)
	}
	return &neighbours{handles: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (n *neighbours) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handles[unix.NETLINK_ROUTE].Close()
}

func (n *neighbours) mac(client netip.Addr) (neutrino.MAC, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	links, err := n.links()
	if err != nil {
		return neutrino.MAC{}, fmt.Errorf("list the devices: %w", err)
	}
	var found []neutrino.MAC
	for _, index := range links {
		mac, ok, err := n.entry(index, client)
		if err != nil {
			return neutrino.MAC{}, fmt.Errorf("read the neighbour %s: %w", client, err)
		}
		if ok {
			found = append(found, mac)
		}
	}
	switch len(found) {
	case 0:
		return neutrino.MAC{}, fmt.Errorf("no neighbour has the address %s", client)
	case 1:
		return found[0], nil
	}
	return neutrino.MAC{}, fmt.Errorf("%d neighbours have the address %s", len(found), client)
}

// links are the indexes of the namespace's devices.
func (n *neighbours) links() ([]int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.Sockets = n.handles
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, m := range answers {
		if info := nl.DeserializeIfInfomsg(m); info.Flags&unix.IFF_LOOPBACK == 0 {
			out = append(out, int(info.Index))
		}
	}
	return out, nil
}

// usable are the states of an entry that the kernel sends frames by.
const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT

// entry asks for one neighbour on one device.
func (n *neighbours) entry(link int, client netip.Addr) (mac neutrino.MAC, ok bool, err error) {
	family := unix.AF_INET
	if client.Is6() {
		family = unix.AF_INET6
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	req.Sockets = n.handles
	req.AddData(&netlink.Ndmsg{Family: uint8(family), Index: uint32(link)})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, client.AsSlice()))
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if errors.Is(err, unix.ENOENT) {
		return mac, false, nil
	}
	if err != nil {
		return mac, false, err
	}
	for _, m := range answers {
		e, err := netlink.NeighDeserialize(m)
		if err != nil {
			return mac, false, err
		}
		if e.State&usable == 0 || len(e.HardwareAddr) != len(mac) || !e.IP.Equal(net.IP(client.AsSlice())) {
			continue
		}
		copy(mac[:], e.HardwareAddr)
		ok = true
	}
	return mac, ok, nil
}
