package api

import (
	"slices"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/wire"
	"neutrino/intent"
)

// badRouter is the 400 of a router's member actions.
func badRouter(text string) error {
	return neutrino.Errorf(neutrino.Invalid, typeBadQuery, "Bad router request: %s.", text)
}

// attach is what adding and removing a router's interface have in common.
type attach func(tx *intent.Tx, router, subnet, port neutrino.ID) (intent.Interface, error)

// subnetOrPort is what adding an interface must name: one of them.
func subnetOrPort(subnet, port neutrino.ID) error {
	if subnet != "" && port != "" {
		return badRouter("Cannot specify both subnet-id and port-id")
	}
	return subnetAndPort(subnet, port)
}

// subnetAndPort is what removing an interface must name: one of them or both.
func subnetAndPort(subnet, port neutrino.ID) error {
	if subnet == "" && port == "" {
		return badRouter("Either subnet_id or port_id must be specified")
	}
	return nil
}

// interfaceAction answers PUT add_router_interface and remove_router_interface;
// check says what a request must name.
func (k *kind[T]) interfaceAction(rule string, do attach, check func(subnet, port neutrino.ID) error) member {
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		if err := onlyPut(c, rest); err != nil {
			return nil, err
		}
		body, err := c.parse(bounds.Shape{})
		if err != nil {
			return nil, err
		}
		ids, err := namedIDs(body, "subnet_id", "port_id")
		if err == nil {
			err = check(ids[0], ids[1])
		}
		if err != nil {
			return nil, err
		}
		return k.action(c, id, rule, func(_ view, tx *intent.Tx) ([]byte, error) {
			i, err := do(tx, id, ids[0], ids[1])
			return appendInterface(nil, i), err
		})
	}
	return member{answer, []route{{"PUT", "", rule}}}
}

// namedIDs reads a body that has no wrapping key: ids, and nothing else. What
// is left out is "".
func namedIDs(body wire.Object, keys ...string) ([]neutrino.ID, error) {
	ids := make([]neutrino.ID, len(keys))
	for key, raw := range body {
		i := slices.Index(keys, key)
		if i < 0 {
			return nil, wire.BadRequest("Unrecognized attribute(s) '%s'", wire.Show(key))
		}
		if err := wire.DecodeText(&wire.Attribute{Name: key, UUID: true}, (*string)(&ids[i]), raw); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// appendInterface writes an interface without a wrapping key, with both names
// of the project (api.md section 3.5).
func appendInterface(b []byte, i intent.Interface) []byte {
	b = wire.AppendString(append(b, `{"id":`...), string(i.RouterID))
	b = wire.AppendString(append(b, `,"tenant_id":`...), i.ProjectID)
	b = wire.AppendString(append(b, `,"project_id":`...), i.ProjectID)
	b = wire.AppendString(append(b, `,"port_id":`...), string(i.PortID))
	b = wire.AppendString(append(b, `,"network_id":`...), string(i.NetworkID))
	b = wire.AppendString(append(b, `,"subnet_id":`...), string(i.SubnetID))
	b = wire.AppendValue(append(b, `,"subnet_ids":`...), &i.SubnetIDs)
	return append(b, '}')
}

// routesAction answers PUT add_extraroutes and remove_extraroutes with the
// whole router.
func (k *kind[T]) routesAction(rule string, do func(*intent.Tx, neutrino.ID, []neutrino.HostRoute) (*T, error)) member {
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		if err := onlyPut(c, rest); err != nil {
			return nil, err
		}
		routes, err := k.routesIn(c)
		if err != nil {
			return nil, err
		}
		return k.action(c, id, rule, func(v view, tx *intent.Tx) ([]byte, error) {
			row, err := do(tx, id, slices.Clone(routes))
			if err != nil {
				return nil, err
			}
			return k.wrapOne(v, row, nil), nil
		})
	}
	return member{answer, []route{{"PUT", "", rule}}}
}

// routesIn reads {"router": {"routes": […]}}.
func (k *kind[T]) routesIn(c *call) ([]neutrino.HostRoute, error) {
	body, err := c.parse(bounds.Shape{})
	if err != nil {
		return nil, err
	}
	inner, err := unwrapOne(body, k.one)
	if err != nil {
		return nil, err
	}
	only, ok := wire.StrictKeys(inner, "routes")
	if !ok {
		return nil, wire.BadRequest("Invalid input: routes, and only routes, must be specified")
	}
	var routes []neutrino.HostRoute
	err = wire.DecodeHostRoutes(k.attrs.ByName["routes"], &routes, only["routes"])
	return routes, err
}
