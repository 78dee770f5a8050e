package api

import (
	"net/http"
	"neutrino"
	"neutrino/api/extension"

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

// showExtensions answers /v2.0/extensions and one alias below it.
func (a *api) showExtensions(c *call, rest []string) (*reply, error) {
	if len(rest) > 1 {
		return nil, noResource()
	}
	if c.method != http.MethodGet {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	if len(rest) == 0 {
		return &reply{status: http.StatusOK, body: a.extensions}, nil
	}
	if b, ok := extension.One(rest[0]); ok {
		return &reply{status: http.StatusOK, body: b}, nil
	}
	return nil, neutrino.Errorf(neutrino.NotFound, typeHTTPNotFound,
		"Extension with alias %s does not exist", rest[0])
}
