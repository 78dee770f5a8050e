package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sort"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/reconcile"
)

type addresses struct{ *Hands }

// Addresses is the hand on the addresses of devices in namespaces of ours and
// of devices of ours: all but those that the kernel or a router gave them.
func (h *Hands) Addresses() reconcile.Hand[host.AddressKey, host.Address] { return addresses{h} }

// Read returns the addresses.
func (h addresses) Read(ctx context.Context) (map[host.AddressKey]host.Address, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return nil, err
	}
	out := map[host.AddressKey]host.Address{}
	for _, p := range h.places {
		for _, k := range p.facts.addrs {
			out[k] = host.Address{}
		}
	}
	return out, nil
}

// Apply adds and removes addresses.
func (h addresses) Apply(ctx context.Context, d reconcile.Diff[host.AddressKey, host.Address]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	touched := map[string]bool{}
	var bad []error
	note := func(k host.AddressKey, why host.Why, err error) {
		touched[k.NetNS] = true
		if err != nil {
			bad = append(bad, &host.ItemError{Item: fmt.Sprintf("address %s on %s in %s", k.Prefix, k.Device, k.NetNS), Why: why, Err: err})
		}
	}
	for _, k := range addressKeys(d.Drop) {
		note(k, d.Drop[k].Why, h.dropAddress(k))
	}
	for _, k := range addressKeys(d.Put) {
		note(k, d.Put[k].Why, h.putAddress(k))
	}
	return errors.Join(append(bad, h.settle(ctx, touched))...)
}

// addressKeys are in order: of two addresses in one subnet the first is the
// primary one, the same on every run.
func addressKeys(m map[host.AddressKey]host.Address) []host.AddressKey {
	out := make([]host.AddressKey, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return fmt.Sprint(out[i]) < fmt.Sprint(out[j]) })
	return out
}

func (h *Hands) putAddress(k host.AddressKey) error {
	prefix, err := netip.ParsePrefix(k.Prefix)
	if err != nil {
		return err
	}
	p, err := h.place(k.NetNS)
	if err != nil {
		return err
	}
	l, err := p.nl.LinkByName(k.Device)
	if notFound(err) {
		return &host.Absent{What: linkItem(host.LinkKey{NetNS: k.NetNS, Name: k.Device})}
	}
	if err != nil {
		return err
	}
	if _, ours := parseMark(h.options.AliasPrefix, l.Attrs().Alias); k.NetNS == "" && !ours {
		return fmt.Errorf("device %s is not ours", k.Device)
	}
	return p.nl.AddrReplace(l, address(prefix))
}

func (h *Hands) dropAddress(k host.AddressKey) error {
	prefix, err := netip.ParsePrefix(k.Prefix)
	p := h.places[k.NetNS]
	if err != nil || p == nil {
		return nil // gone with its namespace
	}
	l, err := p.nl.LinkByName(k.Device)
	if err == nil {
		err = p.nl.AddrDel(l, address(prefix))
	}
	if notFound(err) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// address is an address with its broadcast address, which the library derives,
// or without duplicate address detection for IPv6.
func address(prefix netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: toIPNet(prefix)}
	if prefix.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}
