package link

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/reconcile"
)

type routes struct{ *Hands }

// Routes is the hand on the routes of protocol static in the main table of
// namespaces of ours. The agent's own namespace is the operator's.
func (h *Hands) Routes() reconcile.Hand[host.RouteKey, host.Route] { return routes{h} }

// Read returns the routes.
func (h routes) Read(ctx context.Context) (map[host.RouteKey]host.Route, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return nil, err
	}
	out := map[host.RouteKey]host.Route{}
	for _, p := range h.places {
		for k, r := range p.facts.routes {
			out[k] = r
		}
	}
	return out, nil
}

// Apply adds, changes and removes routes.
func (h routes) Apply(ctx context.Context, d reconcile.Diff[host.RouteKey, host.Route]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	touched := map[string]bool{}
	var bad []error
	note := func(k host.RouteKey, why host.Why, err error) {
		touched[k.NetNS] = true
		if err != nil {
			bad = append(bad, &host.ItemError{Item: fmt.Sprintf("route %s in %s", k.Dst, k.NetNS), Why: why, Err: err})
		}
	}
	drops, puts := routeKeys(d.Drop), routeKeys(d.Put)
	for i := len(drops) - 1; i >= 0; i-- {
		note(drops[i], d.Drop[drops[i]].Why, h.dropRoute(drops[i], d.Drop[drops[i]]))
	}
	for _, k := range puts {
		note(k, d.Put[k].Why, h.putRoute(k, d.Put[k]))
	}
	return errors.Join(append(bad, h.settle(ctx, touched))...)
}

// routeKeys are in order, on-link routes first: a gateway outside every subnet
// is reached over one of them.
func routeKeys(m map[host.RouteKey]host.Route) []host.RouteKey {
	out := make([]host.RouteKey, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := m[out[i]].Via == "", m[out[j]].Via == ""
		return a && !b || a == b && fmt.Sprint(out[i]) < fmt.Sprint(out[j])
	})
	return out
}

func (h *Hands) putRoute(k host.RouteKey, want host.Route) error {
	if k.NetNS == "" {
		return errors.New("routes of the host's own namespace are the operator's")
	}
	p, err := h.place(k.NetNS)
	if err != nil {
		return err
	}
	r, err := p.route(k, want)
	if err != nil {
		return err
	}
	return p.nl.RouteReplace(r)
}

func (h *Hands) dropRoute(k host.RouteKey, have host.Route) error {
	p := h.places[k.NetNS]
	if k.NetNS == "" || p == nil {
		return nil
	}
	r, err := p.route(k, have)
	var absent *host.Absent
	if err == nil {
		err = p.nl.RouteDel(r)
	}
	if errors.As(err, &absent) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENETUNREACH) {
		return nil // gone, with its device or by itself
	}
	return err
}

func (p *place) route(k host.RouteKey, v host.Route) (*netlink.Route, error) {
	hops, err := p.hops(v)
	if err != nil {
		return nil, err
	}
	r := &netlink.Route{Protocol: unix.RTPROT_STATIC, Table: unix.RT_TABLE_MAIN, Family: netlink.FAMILY_V4}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if k.IPv6 {
		r.Family, all = netlink.FAMILY_V6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	dst := all
	if k.Dst != "default" {
		if dst, err = netip.ParsePrefix(k.Dst); err != nil {
			return nil, err
		}
	}
	r.Dst = toIPNet(dst)
	if len(hops) == 1 {
		r.LinkIndex, r.Gw = hops[0].LinkIndex, hops[0].Gw
	} else {
		r.MultiPath = hops
	}
	if v.Via == "" && !k.IPv6 {
		r.Scope = netlink.SCOPE_LINK
	}
	return r, nil
}

// hops are a route's gateways with their devices: one device for all, or one
// for each.
func (p *place) hops(v host.Route) ([]*netlink.NexthopInfo, error) {
	vias, devices := strings.Split(v.Via, ","), strings.Split(v.Device, ",")
	if len(devices) != 1 && len(devices) != len(vias) {
		return nil, fmt.Errorf("%d devices for %d gateways", len(devices), len(vias))
	}
	var out []*netlink.NexthopInfo
	for i, via := range vias {
		device := devices[min(i, len(devices)-1)]
		l, err := p.nl.LinkByName(device)
		if notFound(err) {
			return nil, &host.Absent{What: linkItem(host.LinkKey{NetNS: p.name, Name: device})}
		}
		if err != nil {
			return nil, err
		}
		hop := &netlink.NexthopInfo{LinkIndex: l.Attrs().Index}
		if via != "" {
			if hop.Gw = net.ParseIP(via); hop.Gw == nil {
				return nil, fmt.Errorf("gateway %q is no address", via)
			}
		}
		out = append(out, hop)
	}
	return out, nil
}

// gateways is how a route that was read goes, as a plan writes it: several
// gateways in the order of their addresses.
func gateways(r netlink.Route, devices map[int]string) host.Route {
	if len(r.MultiPath) == 0 {
		v := host.Route{Device: devices[r.LinkIndex]}
		if r.Gw != nil {
			v.Via = r.Gw.String()
		}
		return v
	}
	hops := slices.Clone(r.MultiPath)
	slices.SortFunc(hops, func(a, b *netlink.NexthopInfo) int {
		return cmp.Or(bytes.Compare(a.Gw.To16(), b.Gw.To16()), a.LinkIndex-b.LinkIndex)
	})
	var vias, names []string
	one := true
	for _, hop := range hops {
		via := ""
		if hop.Gw != nil {
			via = hop.Gw.String()
		}
		vias, names = append(vias, via), append(names, devices[hop.LinkIndex])
		one = one && hop.LinkIndex == hops[0].LinkIndex
	}
	if one {
		names = names[:1]
	}
	return host.Route{Via: strings.Join(vias, ","), Device: strings.Join(names, ",")}
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
