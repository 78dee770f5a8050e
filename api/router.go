package api

import (
	"net/http"
	"slices"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// The parts of external_gateway_info.
const (
	gatewayInfo     = "external_gateway_info"
	gatewayNetwork  = "network_id"
	gatewaySNAT     = "enable_snat"
	gatewayFixedIPs = "external_fixed_ips"
)

func routers() *kind[neutrino.Router] {
	k := kind[neutrino.Router]{
		names:   names{"router", "routers", "routers", "RouterNotFound", "Router %s could not be found"},
		table:   store.Routers,
		indexes: []filterIndex[neutrino.Router]{{"name", store.RoutersByName}, {"project_id", store.RoutersByProject}},
		reach: func(v view) []keyed[neutrino.Router] {
			return []keyed[neutrino.Router]{{store.RoutersByProject, []string{v.caller.ProjectID}}}
		},
		visible: work.VisibleRouter,
		create:  from(quota.Of(quota.Router), intent.CreateRouter), update: updateRouter, remove: intent.DeleteRouter,
		parse: map[string]func(*neutrino.Router, any) error{
			gatewayInfo:   parseGateway,
			"ha":          func(r *neutrino.Router, raw any) error { return parseFlag(&r.HA, raw) },
			"distributed": func(r *neutrino.Router, raw any) error { return parseFlag(&r.Distributed, raw) },
		},
		parts: map[string][]string{gatewayInfo: {gatewaySNAT, gatewayFixedIPs}},
		computed: []column[neutrino.Router]{
			{name: gatewayInfo, write: appendGateway},
			{name: "availability_zones", write: func(b []byte, v view, r *neutrino.Router) []byte {
				var hosts []string
				if binding, ok := store.Peek(v.Reader, store.RouterBindings, r.ID); ok {
					hosts = append(hosts, binding.Host)
				}
				return appendHostZones(b, v, neutrino.AgentL3, hosts)
			}},
		},
	}.ready()
	k.members = map[string]member{
		"add_router_interface":    k.interfaceAction("add_router_interface", intent.AddRouterInterface, subnetOrPort),
		"remove_router_interface": k.interfaceAction("remove_router_interface", intent.RemoveRouterInterface, subnetAndPort),
		"add_extraroutes":         k.routesAction("add_extraroutes", intent.AddExtraRoutes),
		"remove_extraroutes":      k.routesAction("remove_extraroutes", intent.RemoveExtraRoutes),
	}
	return k
}

// updateRouter gives intent a gateway that it may complete: a transaction that
// runs again must find the request as it came.
func updateRouter(tx *intent.Tx, id neutrino.ID, change func(*neutrino.Router) error, set neutrino.Fields) (*neutrino.Router, error) {
	return intent.UpdateRouter(tx, id, func(r *neutrino.Router) error {
		err := change(r)
		if r.Gateway != nil {
			own := *r.Gateway
			own.FixedIPs = slices.Clone(own.FixedIPs)
			r.Gateway = &own
		}
		return err
	}, set)
}

// parseGateway reads external_gateway_info; null and {} are no gateway
// (api.md section 2.6).
func parseGateway(r *neutrino.Router, raw any) error {
	r.Gateway = nil
	if raw == nil {
		return nil
	}
	info, ok := raw.(wire.Object)
	if !ok {
		return wire.BadValue(gatewayInfo, "'%s' is not a dictionary", wire.Show(raw))
	}
	if len(info) == 0 {
		return nil
	}
	if _, ok := info[gatewayNetwork]; !ok {
		return wire.BadValue(gatewayInfo, "Required key '%s' is missing", gatewayNetwork)
	}
	g := neutrino.Gateway{EnableSNAT: true}
	at := &wire.Attribute{Name: gatewayInfo, UUID: true}
	for key, value := range info {
		var err error
		switch {
		case key == gatewayNetwork:
			err = wire.DecodeText(at, (*string)(&g.NetworkID), value)
		case key == gatewaySNAT:
			err = wire.DecodeBool(&g.EnableSNAT, value)
		case key == gatewayFixedIPs && value != nil:
			err = wire.DecodeFixedIPs(at, &g.FixedIPs, value)
		case key != gatewayFixedIPs:
			err = wire.BadValue(gatewayInfo, "Unexpected keys supplied: %s", wire.Show(key))
		}
		if err != nil {
			return err
		}
	}
	r.Gateway = &g
	return nil
}

// parseFlag reads a truth value; null is none, and so false.
func parseFlag(p *bool, raw any) error {
	if *p = false; raw == nil {
		return nil
	}
	return wire.DecodeBool(p, raw)
}

func appendGateway(b []byte, _ view, r *neutrino.Router) []byte {
	g := r.Gateway
	if g == nil {
		return append(b, "null"...)
	}
	b = wire.AppendString(append(b, `{"network_id":`...), string(g.NetworkID))
	b = wire.AppendValue(append(b, `,"enable_snat":`...), &g.EnableSNAT)
	b = wire.AppendValue(append(b, `,"external_fixed_ips":`...), &g.FixedIPs)
	return append(b, '}')
}

// action is a PUT on a member of an item, in one transaction; do writes the
// answer.
func (k *kind[T]) action(c *call, id neutrino.ID, rule string, do func(view, *intent.Tx) ([]byte, error)) (*reply, error) {
	match, err := ifMatch(c.header)
	if err != nil {
		return nil, err
	}
	var answer []byte
	err = c.do(func(tx *intent.Tx) error {
		v := c.inside(tx)
		row, err := k.find(v, id)
		if err == nil {
			err = k.permit(v, rule, row)
		}
		if err == nil {
			err = checkRevision(row, match)
		}
		if err == nil {
			answer, err = do(v, tx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusOK, body: answer}, nil
}

// onlyPut refuses other verbs, and paths below a member action.
func onlyPut(c *call, rest []string) error {
	if len(rest) > 0 {
		return noResource()
	}
	if c.method != http.MethodPut {
		return notAllowed(c.method, http.MethodPut)
	}
	return nil
}
