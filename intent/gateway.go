package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// The parts of a gateway that a request may leave open, as they stand in its
// set of attributes.
const (
	gatewaySNAT     = "external_gateway_info.enable_snat"
	gatewayFixedIPs = "external_gateway_info.external_fixed_ips"
)

// changeGateway makes the router's gateway what r asks for, from what it is in
// old (api.md section 3.5), and completes r.
func changeGateway(tx *Tx, old, r *neutrino.Router, set neutrino.Fields) error {
	want := r.Gateway
	r.GatewayPortID = ""
	if want != nil && !set.Has(gatewaySNAT) {
		want.EnableSNAT = tx.Config.SNATByDefault
	}
	if want != nil && old.Gateway != nil && want.NetworkID == old.Gateway.NetworkID {
		r.GatewayPortID = old.GatewayPortID
		return keepGateway(tx, old, want, set)
	}
	if old.Gateway != nil {
		if err := dropGateway(tx, old); err != nil {
			return err
		}
	}
	if want == nil {
		return nil
	}
	return makeGateway(tx, r, set)
}

// keepGateway keeps the gateway port, with other addresses where the request
// names them.
func keepGateway(tx *Tx, old *neutrino.Router, want *neutrino.Gateway, set neutrino.Fields) error {
	if !set.Has(gatewayFixedIPs) || len(want.FixedIPs) == 0 {
		want.FixedIPs = slices.Clone(old.Gateway.FixedIPs)
		return nil
	}
	found, ok := store.Get(tx.Tx, store.Ports, old.GatewayPortID)
	if !ok {
		return work.Ports().Missing(old.GatewayPortID)
	}
	p := clonePort(found)
	p.FixedIPs = want.FixedIPs
	if err := gatewayAddresses(tx, p, found.FixedIPs); err != nil {
		return err
	}
	want.FixedIPs = slices.Clone(p.FixedIPs)
	if !slices.Equal(p.FixedIPs, found.FixedIPs) {
		tx.Touch(p.ID, &p.Standard)
		tx.PutPort(p)
	}
	return nil
}

// makeGateway gives the router a port on its external network: with the wanted
// addresses, or one IPv4 and one IPv6 address.
func makeGateway(tx *Tx, r *neutrino.Router, set neutrino.Fields) error {
	want := r.Gateway
	n, err := work.Find(tx, work.Networks(), want.NetworkID)
	if err != nil {
		return err
	}
	if !work.UsesExternal(tx.Caller, tx.Tx, n) {
		return badRequest("router", "Network %s is not an external network", n.ID)
	}
	if err := checkOverlap(subnetsOn(tx, routerPorts(tx, r.ID)...), subnetsOf(tx, n.ID)); err != nil {
		return err
	}
	p := &neutrino.Port{DeviceID: string(r.ID), DeviceOwner: neutrino.OwnerGateway, FixedIPs: want.FixedIPs}
	err = addExternalPort(tx, n, p, func(p *neutrino.Port) error { return gatewayAddresses(tx, p, nil) })
	if err != nil {
		return err
	}
	r.GatewayPortID, want.FixedIPs = p.ID, slices.Clone(p.FixedIPs)
	return nil
}

// gatewayAddresses finds the addresses of a gateway port, of which it has some.
func gatewayAddresses(tx *Tx, p *neutrino.Port, present []neutrino.FixedIP) error {
	var err error
	if len(p.FixedIPs) > 0 {
		err = wantedAddresses(tx, p, present)
	} else {
		err = defaultAddresses(tx, p)
	}
	if err != nil {
		return err
	}
	return checkNotGateway(tx, "router", p)
}

// dropGateway takes the router's gateway away, unless floating IPs need it. One
// that comes at the same moment makes this run again.
func dropGateway(tx *Tx, r *neutrino.Router) error {
	for range store.Claims(tx.Tx, routerUsePrefix(r.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "RouterExternalGatewayInUseByFloatingIp",
			"Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.",
			r.ID, r.Gateway.NetworkID)
	}
	tx.RequireNone(routerUsePrefix(r.ID))
	p, ok := store.Get(tx.Tx, store.Ports, r.GatewayPortID)
	if ok {
		removePort(tx, p)
	}
	return nil
}
