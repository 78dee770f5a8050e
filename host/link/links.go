package link

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/vishvananda/netlink"

	"neutrino/host"
	"neutrino/reconcile"
)

type links struct{ *Hands }

// Links is the hand on the veth pairs of ours: those whose ends say so in
// their alias. A pair is known by the key of its first end.
func (h *Hands) Links() reconcile.Hand[host.LinkKey, host.Link] { return links{h} }

// pair is a first end with its other end, either of which may be missing.
type pair struct {
	first, other *linkFact
	otherNS      string
}

// pairs matches the ends of ours by alias and by index. What belongs to no
// whole pair is listed too, so that it is repaired or removed.
func (h *Hands) pairs() map[host.LinkKey]pair {
	type end struct {
		namespace string
		fact      *linkFact
	}
	others := map[string][]end{} // by the name of the first end
	out := map[host.LinkKey]pair{}
	for _, p := range h.places {
		for i := range p.facts.links {
			f := &p.facts.links[i]
			if f.mark.peerOf != "" {
				others[f.mark.peerOf] = append(others[f.mark.peerOf], end{p.name, f})
			} else {
				out[host.LinkKey{NetNS: p.name, Name: f.name}] = pair{first: f}
			}
		}
	}
	for name, ends := range others {
		for _, e := range ends {
			k, matched := host.LinkKey{}, false
			for key, p := range out {
				if p.first == nil || key.Name != name || p.first.mark.temp {
					continue
				}
				if p.first.peerIndex == e.fact.index && p.first.index == e.fact.peerIndex {
					k, matched = key, true
				}
			}
			if matched {
				out[k] = pair{out[k].first, e.fact, e.namespace}
			} else {
				out[host.LinkKey{NetNS: e.namespace, Name: e.fact.name}] = pair{other: e.fact, otherNS: e.namespace}
			}
		}
	}
	return out
}

// Read returns the pairs of ours. A pair that is down, or of which only one
// end is found, has Error.
func (h links) Read(ctx context.Context) (map[host.LinkKey]host.Link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return nil, err
	}
	out := map[host.LinkKey]host.Link{}
	for k, p := range h.pairs() {
		out[k] = p.state()
	}
	return out, nil
}

func (p pair) state() host.Link {
	if p.first == nil {
		return host.Link{Kind: "veth", Error: "its first end is not there", Why: p.other.mark.why}
	}
	l := host.Link{Kind: "veth", MTU: p.first.mtu, Why: p.first.mark.why}
	if p.other == nil {
		l.Error = "its other end is not where it belongs"
		return l
	}
	l.PeerNS, l.Peer, l.NoTxChecksum = p.otherNS, p.other.name, !p.other.txChecksum
	if p.other.mark.mac {
		l.PeerMAC = p.other.mac
	}
	switch {
	case !p.first.up:
		l.Error = p.first.name + " is down"
	case !p.other.up:
		l.Error = p.other.name + " is down"
	case p.other.mtu != p.first.mtu:
		l.Error = fmt.Sprintf("%s has MTU %d", p.other.name, p.other.mtu)
	}
	return l
}

// Apply makes, repairs and removes pairs.
func (h links) Apply(ctx context.Context, d reconcile.Diff[host.LinkKey, host.Link]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	touched := map[string]bool{"": true}
	there := h.pairs()
	var bad []error
	for _, k := range linkKeys(d.Drop) {
		touched[k.NetNS], touched[there[k].otherNS] = true, true
		if _, ours := there[k]; !ours {
			continue
		}
		if err := h.deleteDevice(k.NetNS, k.Name); err != nil {
			bad = append(bad, &host.ItemError{Item: linkItem(k), Why: d.Drop[k].Why, Err: err})
		}
	}
	for _, k := range linkKeys(d.Put) {
		want := d.Put[k]
		touched[k.NetNS], touched[want.PeerNS], touched[there[k].otherNS] = true, true, true
		if err := h.putLink(k, want, there[k]); err != nil {
			bad = append(bad, &host.ItemError{Item: linkItem(k), Why: want.Why, Err: err})
		}
	}
	return errors.Join(append(bad, h.settle(ctx, touched))...)
}

func linkItem(k host.LinkKey) string {
	if k.NetNS == "" {
		return "device " + k.Name
	}
	return "device " + k.Name + " in " + k.NetNS
}

func linkKeys(m map[host.LinkKey]host.Link) []host.LinkKey {
	out := make([]host.LinkKey, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool {
		return out[i].NetNS < out[j].NetNS || out[i].NetNS == out[j].NetNS && out[i].Name < out[j].Name
	})
	return out
}

func (h *Hands) putLink(k host.LinkKey, want host.Link, have pair) error {
	if want.Kind != "veth" {
		return fmt.Errorf("kind %q is not one that this hand makes", want.Kind)
	}
	if _, err := h.place(k.NetNS); err != nil {
		return err
	}
	if _, err := h.place(want.PeerNS); err != nil {
		return err
	}
	v := &veth{hands: h, key: k, want: want}
	if have.first != nil && have.other != nil && have.otherNS == want.PeerNS && have.other.name == want.Peer {
		return v.finish()
	}
	for _, end := range []host.LinkKey{{NetNS: want.PeerNS, Name: want.Peer}, k} {
		if err := h.clear(end); err != nil {
			return err
		}
	}
	return v.create()
}

// clear makes room for a device: what is ours under its name goes, what is
// somebody else's is an error.
func (h *Hands) clear(k host.LinkKey) error {
	p := h.places[k.NetNS]
	l, err := p.nl.LinkByName(k.Name)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", k.Name, err)
	}
	if _, ours := parseMark(h.options.AliasPrefix, l.Attrs().Alias); !ours {
		return fmt.Errorf("%s exists and is not ours (its alias does not begin with %q)", linkItem(k), h.options.AliasPrefix)
	}
	return h.deleteDevice(k.NetNS, k.Name)
}

// deleteDevice removes a device, and with it the other end of its pair.
func (h *Hands) deleteDevice(namespace, name string) error {
	p := h.places[namespace]
	if p == nil {
		return nil
	}
	l, err := p.nl.LinkByName(name)
	if err == nil {
		err = p.nl.LinkDel(l)
	}
	if err != nil && !notFound(err) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

func notFound(err error) bool {
	var no netlink.LinkNotFoundError
	return errors.As(err, &no) || errors.Is(err, errNoDevice)
}
