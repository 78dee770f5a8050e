package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

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

// SameAddress reports whether two addresses need no change: all that there is
// to an address is its key.
func SameAddress(_, _ host.Address) bool { return true }

// Apply adds and removes addresses. Those that are added and have Announce are
// announced from then on, in the background.
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
	w := &addressing{Hands: h.Hands, devices: map[host.LinkKey]netlink.Link{}, there: h.addressed()}
	for _, k := range addressKeys(d.Drop) {
		note(k, d.Drop[k].Why, w.drop(k))
	}
	var added []host.AddressKey
	for _, k := range addressKeys(d.Put) {
		err := w.put(k)
		note(k, d.Put[k].Why, err)
		if err == nil && d.Put[k].Announce && !w.there[k] {
			added = append(added, k)
		}
	}
	err := errors.Join(append(bad, h.settle(ctx, touched))...)
	h.tell.add(added)
	return err
}

// addressed are the addresses that were last read.
func (h *Hands) addressed() map[host.AddressKey]bool {
	out := map[host.AddressKey]bool{}
	for _, p := range h.places {
		for _, k := range p.facts.addrs {
			out[k] = true
		}
	}
	return out
}

// addressKeys are in order: of two addresses in one subnet the first is the
// primary one, the same on every run.
func addressKeys(m map[host.AddressKey]host.Address) []host.AddressKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b host.AddressKey) int {
		return cmp.Or(strings.Compare(a.NetNS, b.NetNS), strings.Compare(a.Device, b.Device), strings.Compare(a.Prefix, b.Prefix))
	})
}

// addressing is one Apply: a device is looked up once for all its addresses.
type addressing struct {
	*Hands
	devices map[host.LinkKey]netlink.Link
	there   map[host.AddressKey]bool
}

func (w *addressing) device(p *place, name string) (netlink.Link, error) {
	k := host.LinkKey{NetNS: p.name, Name: name}
	if l := w.devices[k]; l != nil {
		return l, nil
	}
	l, err := p.nl.LinkByName(name)
	if err == nil {
		w.devices[k] = l
	}
	return l, err
}

func (w *addressing) put(k host.AddressKey) error {
	prefix, err := netip.ParsePrefix(k.Prefix)
	if err != nil {
		return err
	}
	p, err := w.place(k.NetNS)
	if err != nil {
		return err
	}
	l, err := w.device(p, k.Device)
	if notFound(err) {
		return &host.Absent{What: linkItem(host.LinkKey{NetNS: k.NetNS, Name: k.Device})}
	}
	if err != nil {
		return err
	}
	if _, ours := parseMark(w.options.AliasPrefix, l.Attrs().Alias); k.NetNS == "" && !ours {
		return fmt.Errorf("device %s is not ours", k.Device)
	}
	return p.nl.AddrReplace(l, address(prefix))
}

func (w *addressing) drop(k host.AddressKey) error {
	w.tell.remove(k)
	prefix, err := netip.ParsePrefix(k.Prefix)
	p := w.places[k.NetNS]
	if err != nil || p == nil {
		return nil // gone with its namespace
	}
	l, err := w.device(p, k.Device)
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
