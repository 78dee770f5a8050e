package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// metering counts what routers forward between their inside and the external
// network, by metering label (api.md section 2.23), with the chains of Neutron's
// metering agent: one with a label's rules, and one whose only rule is its
// counter. The counter is there for as long as the label counts on the router, so
// that neither a change of the rules nor one of the gateway sets it back.
func metering(b *builder) {
	rules := map[neutrino.ID][]neutrino.MeteringLabelRule{}
	for _, id := range slices.Sorted(maps.Keys(b.view.MeteringRules)) {
		r := b.view.MeteringRules[id]
		rules[r.MeteringLabelID] = append(rules[r.MeteringLabelID], r)
	}
	labels := b.meteringLabels()
	if len(labels) == 0 {
		return
	}
	devices := map[string]string{} // by the router's id
	for _, p := range b.ports {
		if p.DeviceOwner == neutrino.OwnerGateway {
			devices[p.DeviceID] = names.QG(p.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.view.Routers)) {
		if r := b.view.Routers[id]; r.AdminStateUp {
			m := meters{builder: b, router: id, ns: names.RouterNamespace(id), device: devices[string(id)], rules: rules}
			m.count(slices.DeleteFunc(slices.Clone(labels), func(l neutrino.MeteringLabel) bool { return !l.Counts(r) }))
		}
	}
}

// meteringLabels are the labels in order. Two that would have the same chains
// cannot both count: the second one is refused.
func (b *builder) meteringLabels() []neutrino.MeteringLabel {
	var all []neutrino.MeteringLabel
	first := map[string]neutrino.ID{}
	for _, id := range slices.Sorted(maps.Keys(b.view.MeteringLabels)) {
		chain := names.MeterChains(b.config.WrapPrefix).Counter(id)
		if other, taken := first[chain]; taken {
			b.state.Refused = append(b.state.Refused, host.Refusal{Object: neutrino.MeteringLabelObject(id),
				Reason: fmt.Sprintf("its chain %s is that of metering label %s: delete one of the two and make it anew", chain, other)})
			continue
		}
		first[chain] = id
		all = append(all, b.view.MeteringLabels[id])
	}
	return all
}

// meters are the counters of one router.
type meters struct {
	*builder
	router neutrino.ID
	ns     string
	device string // to the external network, "" for none
	rules  map[neutrino.ID][]neutrino.MeteringLabelRule
}

// count makes the chains of the labels. What the router drops is not counted:
// its own rules come first.
func (m meters) count(labels []neutrino.MeteringLabel) {
	if len(labels) == 0 {
		return
	}
	c := names.MeterChains(m.config.WrapPrefix)
	for _, family := range [...]int{4, 6} {
		var jumps []string
		for _, l := range labels {
			t := table{m.builder, m.ns, family, "filter", host.Why{Feature: "metering", Object: neutrino.MeteringLabelObject(l.ID)}}
			t.chain(c.Rules(l.ID), m.choose(l, family)...)
			t.chain(c.Counter(l.ID), "-j RETURN")
			jumps = append(jumps, "-j "+c.Rules(l.ID))
		}
		t := table{m.builder, m.ns, family, "filter", host.Why{Feature: "metering", Object: neutrino.RouterObject(m.router)}}
		t.chain(c.Top(), jumps...)
		t.hook("FORWARD", c.Top(), 2)
	}
}

// choose are a label's rules: what is excluded goes first, and a packet that goes
// to the counter does not come back, so that it counts once.
func (m meters) choose(l neutrino.MeteringLabel, family int) []string {
	if m.device == "" {
		return nil
	}
	var excluded, counted []string
	for _, r := range m.rules[l.ID] {
		match, ok := m.match(r, family)
		switch {
		case !ok:
		case r.Excluded:
			excluded = append(excluded, match+" -j RETURN")
		default:
			counted = append(counted, match+" -g "+names.MeterChains(m.config.WrapPrefix).Counter(l.ID))
		}
	}
	return append(excluded, counted...)
}

// match is what a rule chooses, as iptables-save prints it; ok is false when it
// is of the other family.
func (m meters) match(r neutrino.MeteringLabelRule, family int) (text string, ok bool) {
	source, destination := r.Match()
	for _, p := range [...]netip.Prefix{source, destination} {
		if p.IsValid() && familyOf(p.Addr()) != family {
			return "", false
		}
	}
	if source.IsValid() && source.Bits() > 0 {
		text = "-s " + source.String() + " "
	}
	if destination.IsValid() && destination.Bits() > 0 {
		text += "-d " + destination.String() + " "
	}
	if r.Direction == neutrino.Egress {
		return text + "-o " + m.device, true
	}
	return text + "-i " + m.device, true
}
