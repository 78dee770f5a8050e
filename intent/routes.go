package intent

import (
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// AddExtraRoutes adds routes to the router's; those that it has already are no
// error.
func AddExtraRoutes(tx *Tx, id neutrino.ID, routes []neutrino.HostRoute) (*neutrino.Router, error) {
	return changeRoutes(tx, id, func(r *neutrino.Router) {
		for _, route := range routes {
			if !slices.Contains(r.Routes, route) {
				r.Routes = append(r.Routes, route)
			}
		}
	})
}

// RemoveExtraRoutes takes routes from the router's; those that it does not have
// are no error.
func RemoveExtraRoutes(tx *Tx, id neutrino.ID, routes []neutrino.HostRoute) (*neutrino.Router, error) {
	return changeRoutes(tx, id, func(r *neutrino.Router) {
		r.Routes = slices.DeleteFunc(r.Routes, func(have neutrino.HostRoute) bool { return slices.Contains(routes, have) })
	})
}

func changeRoutes(tx *Tx, id neutrino.ID, change func(*neutrino.Router)) (*neutrino.Router, error) {
	old, err := work.Find(tx, work.Routers(), id)
	if err != nil {
		return nil, err
	}
	r := cloneRouter(old)
	change(r)
	if err := checkRoutes(tx, r); err != nil {
		return nil, err
	}
	saveRouter(tx, r)
	return r, nil
}

// checkRoutes checks the routes of a request: each leads to a neighbour of one
// of the router's ports.
func checkRoutes(tx *Tx, r *neutrino.Router) error {
	if len(r.Routes) > tx.Config.MaxRoutes {
		return neutrino.Errorf(neutrino.Invalid, "RoutesExhausted",
			"Unable to complete operation for %s. The number of routes exceeds the maximum %d.", r.ID, tx.Config.MaxRoutes)
	}
	own := map[netip.Addr]bool{}
	list := routerPorts(tx, r.ID)
	for _, p := range list {
		for _, f := range p.FixedIPs {
			own[f.IPAddress] = true
		}
	}
	near := subnetsOn(tx, list...)
	seen := map[neutrino.HostRoute]bool{}
	for _, route := range r.Routes {
		if err := checkRoute(route); err != nil {
			return err
		}
		switch {
		case seen[route]:
			return neutrino.Invalidf("Duplicate hostroute '%s'", route.Destination)
		case !reachable(near, route.Nexthop):
			return invalidRoute(route, "the nexthop is not connected with router")
		case own[route.Nexthop]:
			return invalidRoute(route, "the nexthop is used by router")
		}
		seen[route] = true
	}
	return nil
}

// checkRoute checks the form of one route.
func checkRoute(r neutrino.HostRoute) error {
	switch {
	case !r.Destination.IsValid() || !plain(r.Destination.Addr()) || !plain(r.Nexthop):
		return neutrino.Invalidf("Invalid host route to '%s' via '%s'", r.Destination, r.Nexthop)
	case r.Destination != r.Destination.Masked():
		return neutrino.Invalidf("'%s' isn't a recognized IP subnet cidr, '%s' is recommended",
			r.Destination, r.Destination.Masked())
	case familyOf(r.Destination.Addr()) != familyOf(r.Nexthop):
		return neutrino.Invalidf("route to '%s' via '%s' mixes IP versions", r.Destination, r.Nexthop)
	}
	return nil
}

func reachable(near []*neutrino.Subnet, nexthop netip.Addr) bool {
	return slices.ContainsFunc(near, func(s *neutrino.Subnet) bool { return s.CIDR.Contains(nexthop) })
}

func invalidRoute(r neutrino.HostRoute, reason string) error {
	return neutrino.Errorf(neutrino.Invalid, "InvalidRoutes",
		"Invalid format for routes: {'destination': '%s', 'nexthop': '%s'}, %s", r.Destination, r.Nexthop, reason)
}

// checkRoutesStay refuses a change of the router's ports, made in this
// transaction already, that would leave a route without its nexthop.
func checkRoutesStay(tx *Tx, r *neutrino.Router) error {
	if len(r.Routes) == 0 {
		return nil
	}
	near := subnetsOn(tx, routerPorts(tx, r.ID)...)
	for _, route := range r.Routes {
		if !reachable(near, route.Nexthop) {
			return routeNeeds(r.ID, "of nexthop "+route.Nexthop.String())
		}
	}
	return nil
}

func routeNeeds(router neutrino.ID, subnet string) error {
	return neutrino.Errorf(neutrino.Conflict, "RouterInterfaceInUseByRoute",
		"Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more routes.", subnet, router)
}

// checkDetached refuses to take a router's interface in a subnet away that a
// floating IP or a route needs. A floating IP that comes at the same moment
// makes this run again.
func checkDetached(tx *Tx, r *neutrino.Router, s *neutrino.Subnet) error {
	for range store.Claims(tx.Tx, routerSubnetPrefix(r.ID, s.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "RouterInterfaceInUseByFloatingIP",
			"Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.", s.ID, r.ID)
	}
	tx.RequireNone(routerSubnetPrefix(r.ID, s.ID))
	for _, route := range r.Routes {
		if s.CIDR.Contains(route.Nexthop) {
			return routeNeeds(r.ID, string(s.ID))
		}
	}
	return nil
}
