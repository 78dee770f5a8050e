package api

import (
	"net/http"
	"slices"
	"strconv"

	"neutrino"
	"neutrino/intent"
	"neutrino/store"
)

// unlimited is the limit of everything: quotas are counted, not enforced.
const unlimited = -1

// counted is one resource that quotas count, and how.
type counted struct {
	name string
	used func(r store.Reader, project string) int
}

func countedResources() []counted {
	return []counted{
		{"network", by(store.NetworksByProject)},
		{"subnet", by(store.SubnetsByProject)},
		{"port", by(store.PortsByProject)},
		{"router", by(store.RoutersByProject)},
		{"floatingip", by(store.FloatingIPsByProject)},
		{"security_group", by(store.GroupsByProject)},
		{"security_group_rule", by(store.RulesByProject)},
	}
}

func by[T any](ix *store.Index[T]) func(store.Reader, string) int {
	return func(r store.Reader, project string) int { return store.Count(r, ix, project) }
}

// quotas answers /v2.0/quotas (api.md section 2.27).
func (a *api) quotas(c *call, rest []string) (*reply, error) {
	if len(rest) > 2 {
		return nil, noResource()
	}
	switch c.method {
	case http.MethodGet:
		return readQuotas(c, rest)
	case http.MethodPost, http.MethodPut, http.MethodDelete:
		return nil, &httpError{http.StatusNotImplemented, typeNotImplemented,
			"Quotas are counted but not enforced: every limit is -1 and cannot be changed."}
	}
	return nil, notAllowed(c.method, http.MethodGet)
}

func readQuotas(c *call, rest []string) (*reply, error) {
	switch {
	case len(rest) == 0:
		if !c.caller.Admin {
			return nil, forbidden("rule:get_quota")
		}
		// Only projects with limits of their own are listed, and none has any.
		return &reply{status: http.StatusOK, body: []byte(`{"quotas":[]}`)}, nil
	case len(rest) == 1 && (rest[0] == "tenant" || rest[0] == "project"):
		b := append(appendString([]byte{'{'}, rest[0]), `:{`...)
		b = append(appendString(b, rest[0]+"_id"), ':')
		b = append(appendString(b, c.caller.ProjectID), `}}`...)
		return &reply{status: http.StatusOK, body: b}, nil
	}
	project := rest[0]
	if err := mayReadQuota(c.caller, project); err != nil {
		return nil, err
	}
	switch {
	case len(rest) == 1 || rest[1] == "default":
		return &reply{status: http.StatusOK, body: limits()}, nil
	case slices.Contains([]string{"details", "detail"}, rest[1]):
		return &reply{status: http.StatusOK, body: usage(c.view(), project)}, nil
	}
	return nil, noResource()
}

func mayReadQuota(caller intent.Caller, project string) error {
	if caller.Admin || caller.ProjectID == project {
		return nil
	}
	return neutrino.Errorf(neutrino.Forbidden, "AdminRequired", "User does not have admin privileges: to read another project's quota.")
}

func limits() []byte {
	b := []byte(`{"quota":{`)
	for i, r := range countedResources() {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(appendString(b, r.name), ':'), unlimited, 10)
	}
	return append(b, `}}`...)
}

func usage(v view, project string) []byte {
	b := []byte(`{"quota":{`)
	for i, r := range countedResources() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, r.name), `:{"limit":`...)
		b = strconv.AppendInt(b, unlimited, 10)
		b = strconv.AppendInt(append(b, `,"used":`...), int64(r.used(v.Reader, project)), 10)
		b = append(b, `,"reserved":0}`...)
	}
	return append(b, `}}`...)
}
