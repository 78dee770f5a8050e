package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// The underlay's names: the switch in its own namespace, and the NIC of each
// host that is plugged into it.
const (
	underlayHost = "underlay"
	underlayName = "underlay"
	uplinkName   = "eth0"
	underlayMTU  = 1500
)

// makeUnderlay makes the switches: the one that connects the hosts, and the
// external one that stands for the public network.
func (l *Lab) makeUnderlay(ctx context.Context, r HostRecord) error {
	if err := l.startHolder(ctx, r); err != nil {
		return err
	}
	made, err := l.Host(r.Name)
	if err != nil {
		return err
	}
	return inNamespace(ctx, made.Holder, func(h *netlink.Handle) error {
		for _, name := range []string{underlayName, externalName} {
			bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: underlayMTU}}
			if err := h.LinkAdd(bridge); err != nil {
				return fmt.Errorf("lab: add switch %s: %w", name, err)
			}
			if err := h.LinkSetUp(bridge); err != nil {
				return fmt.Errorf("lab: switch %s up: %w", name, err)
			}
		}
		return nil
	})
}

// cable is a host's NIC and the port of the switch that it is plugged into.
type cable struct {
	host HostRecord
	nic  string // name of the host's end
	to   string // the switch
	port string // name of the switch's end
	// address is the NIC's, when it has one itself.
	address netip.Prefix
}

// connect plugs a NIC into its switch and sets it up. Both ends are born in
// their namespaces, so that nothing is ever seen in the machine's own.
func (l *Lab) connect(ctx context.Context, c cable) error {
	underlay, err := l.Host(underlayHost)
	if err != nil {
		return err
	}
	err = inNamespace(ctx, underlay.Holder, func(h *netlink.Handle) error {
		bridge, err := h.LinkByName(c.to)
		if err != nil {
			return fmt.Errorf("find the switch: %w", err)
		}
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: c.port, MTU: underlayMTU, MasterIndex: bridge.Attrs().Index},
			PeerName:  c.nic, PeerNamespace: netlink.NsPid(c.host.Holder),
		}
		if err := h.LinkAdd(veth); err != nil {
			return fmt.Errorf("add NIC: %w", err)
		}
		return h.LinkSetUp(veth)
	})
	if err == nil {
		err = inNamespace(ctx, c.host.Holder, c.up)
	}
	if err != nil {
		return fmt.Errorf("lab: connect %s of %s to %s: %w", c.nic, c.host.Name, c.to, err)
	}
	return nil
}

// up sets the NIC up, with its address if it has one itself.
func (c cable) up(h *netlink.Handle) error {
	nic, err := h.LinkByName(c.nic)
	if err != nil {
		return fmt.Errorf("find %s: %w", c.nic, err)
	}
	if err := h.LinkSetUp(nic); err != nil {
		return fmt.Errorf("%s up: %w", c.nic, err)
	}
	if !c.address.IsValid() {
		return nil
	}
	return addAddress(h, nic, c.address)
}

func addAddress(h *netlink.Handle, link netlink.Link, a netip.Prefix) error {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP: net.IP(a.Addr().AsSlice()), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen()),
	}}
	if err := h.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("address %s on %s: %w", a, link.Attrs().Name, err)
	}
	return nil
}

// inNamespace gives a netlink socket in the network namespace of a process.
func inNamespace(_ context.Context, pid int, do func(*netlink.Handle) error) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("lab: network namespace of pid %d: %w", pid, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return fmt.Errorf("lab: netlink in the namespace of pid %d: %w", pid, err)
	}
	return errors.Join(do(h), h.Close())
}
