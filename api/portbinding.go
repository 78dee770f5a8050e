package api

import (
	"iter"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/binding"
	"neutrino/intent/quota"
	"neutrino/store"
)

// bindingsOf answers /v2.0/ports/<id>/bindings and below (api.md section 2.26).
func bindingsOf(parents *kind[neutrino.Port]) member {
	all := kind[neutrino.PortBinding]{
		names:   names{one: "binding", many: "bindings", path: "bindings", typ: "PortBindingNotFound"},
		rule:    "port_binding",
		key:     func(b *neutrino.PortBinding) neutrino.ID { return neutrino.ID(b.Host) },
		visible: func(intent.Caller, store.Reader, *neutrino.PortBinding) bool { return true },
	}.ready()
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		p, err := parents.find(c.view(), id)
		if err == nil {
			err = binding.Movable(p)
		}
		if err != nil {
			return nil, err
		}
		k := bindingsBelow(*all, id)
		switch {
		case len(rest) == 0:
			return k.collection(c)
		case len(rest) == 1:
			return k.item(c, neutrino.ID(rest[0]))
		case len(rest) == 2 && rest[1] == "activate":
			return k.activate(c, id, rest[0])
		}
		return nil, noResource()
	}
	named := func(verb string) string { return verb + "_" + all.ruleName() }
	return member{answer, []route{
		{"GET", "", named("get")}, {"POST", "", named("create")}, {"GET", "/{host}", named("get")},
		{"PUT", "/{host}", named("update")}, {"DELETE", "/{host}", named("delete")}, {"PUT", "/{host}/activate", "activate"},
	}}
}

// bindingsOfPort is the kind of one port's bindings.
type bindingsOfPort struct{ *kind[neutrino.PortBinding] }

// bindingsBelow is the kind of one port's bindings, which are part of its row.
func bindingsBelow(k kind[neutrino.PortBinding], port neutrino.ID) bindingsOfPort {
	k.text = "Binding for port " + string(port) + " for host %s could not be found."
	k.scope = func(v view) iter.Seq[*neutrino.PortBinding] {
		return func(yield func(*neutrino.PortBinding) bool) {
			p, ok := store.Peek(v.Reader, store.Ports, port)
			if !ok {
				return
			}
			for _, b := range binding.Of(p) {
				if !yield(&b) {
					return
				}
			}
		}
	}
	one := quota.None("a port has at most one binding for each host, and only services and administrators make them")
	k.create = limited(one, func(tx *intent.Tx, req *request[neutrino.PortBinding]) (*neutrino.PortBinding, error) {
		return binding.Create(tx, port, req.noun)
	})
	k.update = func(tx *intent.Tx, host neutrino.ID, change func(*neutrino.PortBinding) error, _ neutrino.Fields) (*neutrino.PortBinding, error) {
		return binding.Update(tx, port, string(host), change)
	}
	k.remove = func(tx *intent.Tx, host neutrino.ID) error { return binding.Delete(tx, port, string(host)) }
	return bindingsOfPort{&k}
}

// activate answers PUT activate with the binding, without a wrapping key
// (api.md section 7, T8).
func (k bindingsOfPort) activate(c *call, port neutrino.ID, host string) (*reply, error) {
	if err := onlyPut(c, nil); err != nil {
		return nil, err
	}
	return k.action(c, neutrino.ID(host), "activate", func(v view, tx *intent.Tx) ([]byte, error) {
		b, err := binding.Activate(tx, port, host)
		if err != nil {
			return nil, err
		}
		return k.appendRow(nil, v, b, nil), nil
	})
}
