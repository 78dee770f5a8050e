package api

import (
	"net/http"

	"neutrino/api/wire"
)

// versions answers /: the one version there is (api.md section 1.1).
func (a *api) versions(c *call) (*reply, error) {
	if c.method != http.MethodGet {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	b := append([]byte(nil), `{"versions":[{"id":"v2.0","status":"CURRENT","links":[{"rel":"self","href":`...)
	b = wire.AppendString(b, c.base+"/v2.0/")
	return &reply{status: http.StatusOK, body: append(b, `}]}]}`...)}, nil
}

// roots answers /v2.0/: the resources that there are.
func (a *api) roots(c *call) (*reply, error) {
	if c.method != http.MethodGet {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	b := wire.AppendList([]byte(`{"resources":`), a.order, func(b []byte, r resource) []byte {
		n := r.called()
		b = wire.AppendString(append(b, `{"name":`...), n.one)
		b = wire.AppendString(append(b, `,"collection":`...), n.many)
		b = append(b, `,"links":[{"rel":"self","href":`...)
		return append(wire.AppendString(b, c.base+"/v2.0/"+n.path), `}]}`...)
	})
	return &reply{status: http.StatusOK, body: append(b, '}')}, nil
}
