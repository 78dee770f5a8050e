package intent

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// cloneRouter copies a router with its lists, so that the stored one stays as
// it is.
func cloneRouter(old *neutrino.Router) *neutrino.Router {
	r := *old
	if old.Gateway != nil {
		g := *old.Gateway
		g.FixedIPs = slices.Clone(g.FixedIPs)
		r.Gateway = &g
	}
	r.Routes = slices.Clone(old.Routes)
	r.AvailabilityZoneHints = slices.Clone(old.AvailabilityZoneHints)
	return &r
}

// saveRouter stores a changed copy of a router. Every change of a router, its
// interfaces and its gateway goes through here, so that two of them follow each
// other.
func saveRouter(tx *Tx, r *neutrino.Router) {
	tx.Touch(r.ID, &r.Standard)
	store.Put(tx.Tx, store.Routers, r)
}

// CreateRouter makes a router and, where the request names one, its gateway.
// The names "external_gateway_info.enable_snat" and
// "external_gateway_info.external_fixed_ips" in set say that the request names
// these parts of the gateway.
func CreateRouter(tx *Tx, router neutrino.Router, set neutrino.Fields) (*neutrino.Router, error) {
	project, err := tx.ProjectFor(router.ProjectID, set)
	if err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, project, quota.Router); err != nil {
		return nil, err
	}
	r := cloneRouter(&router)
	if err := checkOneHost(r); err != nil {
		return nil, err
	}
	r.ID, r.ProjectID, r.Status = tx.NewID(), project, neutrino.RouterActive
	r.GatewayPortID, r.Routes = "", nil
	if !set.Has("admin_state_up") {
		r.AdminStateUp = true
	}
	if err := checkZones(tx, r.AvailabilityZoneHints, neutrino.AgentL3); err != nil {
		return nil, err
	}
	if err := changeGateway(tx, &neutrino.Router{ID: r.ID}, r, set); err != nil {
		return nil, err
	}
	tx.Born(r.ID, &r.Standard)
	store.Put(tx.Tx, store.Routers, r)
	return r, placeRouter(tx, r)
}

// UpdateRouter changes a router of the caller's; change gets a copy. A gateway
// that the request names replaces the present one; one on the same network
// keeps its port.
func UpdateRouter(tx *Tx, id neutrino.ID, change func(*neutrino.Router) error, set neutrino.Fields) (*neutrino.Router, error) {
	old, err := work.Find(tx, work.Routers(), id)
	if err != nil {
		return nil, err
	}
	r := cloneRouter(old)
	if err := change(r); err != nil {
		return nil, err
	}
	if err := checkOneHost(r); err != nil {
		return nil, err
	}
	r = cloneRouter(r) // a gateway that is completed below is the request's, which may run again
	if set.Has("external_gateway_info") {
		if err := changeGateway(tx, old, r, set); err != nil {
			return nil, err
		}
	}
	switch {
	case set.Has("routes"):
		err = checkRoutes(tx, r)
	case set.Has("external_gateway_info"):
		err = checkRoutesStay(tx, r)
	}
	if err != nil {
		return nil, err
	}
	saveRouter(tx, r)
	return r, placeRouter(tx, r)
}

// checkOneHost refuses what would need a router on several hosts.
func checkOneHost(r *neutrino.Router) error {
	for name, asked := range map[string]bool{"ha": r.HA, "distributed": r.Distributed} {
		if asked {
			return neutrino.Invalidf("%s: a router runs on one host at a time, and goes to another when that is lost; leave %s out or set it to false", name, name)
		}
	}
	return nil
}

// DeleteRouter deletes a router without interfaces; its gateway goes with it.
func DeleteRouter(tx *Tx, id neutrino.ID) error {
	r, err := work.Find(tx, work.Routers(), id)
	if err != nil {
		return err
	}
	var attached []string
	for _, p := range routerPorts(tx, id) {
		if p.DeviceOwner != neutrino.OwnerGateway {
			attached = append(attached, string(p.ID))
		}
	}
	if len(attached) > 0 {
		return neutrino.Errorf(neutrino.Conflict, "RouterInUse",
			"Router %s is still in use: has ports still attached: %s", id, strings.Join(attached, ", "))
	}
	if r.Gateway != nil {
		if err := dropGateway(tx, r); err != nil {
			return err
		}
	}
	if _, bound := store.Get(tx.Tx, store.RouterBindings, id); bound {
		store.Delete(tx.Tx, store.RouterBindings, id)
	}
	store.Delete(tx.Tx, store.Routers, id)
	return nil
}

// routerPorts are the router's interfaces and its gateway port. That they may
// not change meanwhile follows from the router's own row: see saveRouter.
func routerPorts(tx *Tx, router neutrino.ID) []*neutrino.Port {
	var list []*neutrino.Port
	for p := range store.By(tx.Tx, store.PortsByDevice, string(router)) {
		if p.DeviceOwner == neutrino.OwnerRouter || p.DeviceOwner == neutrino.OwnerGateway {
			list = append(list, p)
		}
	}
	return list
}

// subnetsOn are the subnets that the ports have addresses of.
func subnetsOn(tx *Tx, list ...*neutrino.Port) []*neutrino.Subnet {
	var all []*neutrino.Subnet
	for _, p := range list {
		for _, f := range p.FixedIPs {
			if s, ok := store.Peek(tx.Tx, store.Subnets, f.SubnetID); ok && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// checkOverlap refuses subnets that a router could not tell apart.
func checkOverlap(some, others []*neutrino.Subnet) error {
	for _, s := range some {
		for _, o := range others {
			if s.CIDR.Overlaps(o.CIDR) {
				return badRequest("router", "Cidr %s of subnet %s overlaps with cidr %s of subnet %s",
					s.CIDR, s.ID, o.CIDR, o.ID)
			}
		}
	}
	return nil
}
