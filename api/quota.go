package api

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/store"
)

// The keys of a change of quotas that are no resource (api.md section 2.27).
const (
	quotaForce = "force"
	// quotaCheck asks for what is done anyway: a limit below the usage is
	// refused.
	quotaCheck = "check_limit"
)

// quotaRoutes are the requests about quotas, for the check that each has a rule.
// What a project may see of itself needs none.
func quotaRoutes() []route {
	const one = "/v2.0/quotas/{project_id}"
	return []route{
		{"GET", "/v2.0/quotas", "get_quota"}, {"GET", one, "get_quota"},
		{"GET", one + "/default", "get_quota"}, {"GET", one + "/details", "get_quota"},
		{"PUT", one, "update_quota"}, {"DELETE", one, "delete_quota"},
	}
}

// quotas answers /v2.0/quotas (api.md section 2.27).
func (a *api) quotas(c *call, rest []string) (*reply, error) {
	switch {
	case len(rest) == 0 && c.method == http.MethodGet:
		return a.listQuotas(c)
	case len(rest) == 0 && c.method == http.MethodPost:
		return nil, &httpError{http.StatusNotImplemented, typeNotImplemented,
			"A quota is not created: PUT /v2.0/quotas/<project> changes the limits that a project has."}
	case len(rest) == 0:
		return nil, notAllowed(c.method, http.MethodGet, http.MethodPost)
	case len(rest) > 2:
		return nil, noResource()
	case c.method == http.MethodGet:
		return a.readQuota(c, rest)
	case len(rest) == 2:
		return nil, notAllowed(c.method, http.MethodGet)
	case c.method == http.MethodPut:
		return a.putQuota(c, rest[0])
	case c.method == http.MethodDelete:
		return a.resetQuota(c, rest[0])
	}
	return nil, notAllowed(c.method, http.MethodGet, http.MethodPut, http.MethodDelete)
}

// listQuotas answers with the projects that have limits of their own.
func (a *api) listQuotas(c *call) (*reply, error) {
	if err := c.allowed("get_quota"); err != nil {
		return nil, err
	}
	v, config := c.view(), a.svc.Config()
	rows := slices.Collect(store.All(v.Reader, store.Quotas))
	b := wire.AppendList([]byte(`{"quotas":`), rows, func(b []byte, q *neutrino.Quota) []byte {
		b = appendLimits(b, quota.Limits(v.Reader, &config, q.ProjectID))
		b = wire.AppendString(append(b[:len(b)-1], `,"tenant_id":`...), q.ProjectID)
		return append(wire.AppendString(append(b, `,"project_id":`...), q.ProjectID), '}')
	})
	return &reply{status: http.StatusOK, body: append(b, '}')}, nil
}

// readQuota answers GET below /v2.0/quotas: a name of the caller's project, the
// limits of a project, or those of all, or what is used of them.
func (a *api) readQuota(c *call, rest []string) (*reply, error) {
	project, what := rest[0], ""
	if len(rest) == 2 {
		what = rest[1]
	} else if project == "tenant" || project == "project" {
		b := append(wire.AppendString([]byte{'{'}, project), `:{`...)
		b = append(wire.AppendString(b, project+"_id"), ':')
		return &reply{status: http.StatusOK, body: append(wire.AppendString(b, c.caller.ProjectID), `}}`...)}, nil
	}
	// The question is whose quota is asked for, not who asks (api.md section 6,
	// W28). Each project may read its own.
	if project != c.caller.ProjectID && !c.judge.Allows("get_quota", mine(project)) {
		return nil, neutrino.Errorf(neutrino.Forbidden, "AdminRequired",
			"User does not have admin privileges: Cannot get the quota of project %s: rule:get_quota is disallowed by policy.", project)
	}
	v, config := c.view(), a.svc.Config()
	switch what {
	case "":
		return quotaReply(appendLimits(nil, quota.Limits(v.Reader, &config, project))), nil
	case "default":
		return quotaReply(appendLimits(nil, quota.Defaults(&config))), nil
	case "details", "detail":
		return quotaReply(appendUsage(nil, quota.Limits(v.Reader, &config, project), quota.Used(v.Reader, project))), nil
	}
	return nil, noResource()
}

func quotaReply(b []byte) *reply {
	return &reply{status: http.StatusOK, body: append(append([]byte(`{"quota":`), b...), '}')}
}

// putQuota gives a project limits of its own, and answers with all of them.
func (a *api) putQuota(c *call, project string) (*reply, error) {
	limits, below, err := limitsIn(c)
	if err != nil {
		return nil, err
	}
	if !c.judge.Allows("update_quota", mine(project)) {
		return nil, forbidden("rule:update_quota")
	}
	var b []byte
	err = c.do(func(tx *intent.Tx) error {
		if err := quota.Set(tx, project, limits, below); err != nil {
			return err
		}
		b = appendLimits(nil, quota.Limits(tx, tx.Config, project))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return quotaReply(b), nil
}

// limitsIn reads {"quota": {"<resource>": <limit>, …, "force": true}}.
func limitsIn(c *call) (map[string]int, quota.Below, error) {
	body, err := c.parse(bounds.Shape{})
	if err != nil {
		return nil, 0, err
	}
	inner, err := unwrapOne(body, "quota")
	if err != nil {
		return nil, 0, err
	}
	limits, unknown, below := map[string]int{}, []string(nil), quota.RefuseBelow
	for key, raw := range inner {
		switch {
		case key == quotaForce || key == quotaCheck:
			var yes bool
			if err := wire.DecodeBool(&yes, raw); err != nil {
				return nil, 0, err
			}
			if yes && key == quotaForce {
				below = quota.AllowBelow
			}
		case slices.Contains(quota.Resources(), key):
			n, ok := wire.Integer(raw)
			if !ok || n < neutrino.NoLimit || n > math.MaxInt32 {
				return nil, 0, wire.BadValue(key, "'%s' is not a limit: a whole number from %d (no limit) to %d", wire.Show(raw), neutrino.NoLimit, math.MaxInt32)
			}
			limits[key] = int(n)
		default:
			unknown = append(unknown, wire.Show(key))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, 0, wire.BadRequest("Unrecognized attribute(s) '%s'", strings.Join(unknown, ", "))
	}
	return limits, below, nil
}

// resetQuota gives a project the defaults back.
func (a *api) resetQuota(c *call, project string) (*reply, error) {
	if len(c.body) > 0 {
		return nil, wire.BadRequest("Request body is not supported in DELETE.")
	}
	if !c.judge.Allows("delete_quota", mine(project)) {
		return nil, forbidden("rule:delete_quota")
	}
	if err := c.do(func(tx *intent.Tx) error { return quota.Reset(tx, project) }); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

// appendLimits writes limits by resource.
func appendLimits(b []byte, limits map[string]int) []byte {
	return appendResources(b, func(b []byte, name string) []byte {
		return strconv.AppendInt(b, int64(limits[name]), 10)
	})
}

// appendUsage writes limits with what is used of them. Nothing is reserved for
// longer than a request takes.
func appendUsage(b []byte, limits, used map[string]int) []byte {
	return appendResources(b, func(b []byte, name string) []byte {
		b = strconv.AppendInt(append(b, `{"limit":`...), int64(limits[name]), 10)
		b = strconv.AppendInt(append(b, `,"used":`...), int64(used[name]), 10)
		return append(b, `,"reserved":0}`...)
	})
}

// appendResources writes an object with a key for each resource that is counted.
func appendResources(b []byte, value func(b []byte, name string) []byte) []byte {
	b = append(b, '{')
	for i, name := range quota.Resources() {
		if i > 0 {
			b = append(b, ',')
		}
		b = value(append(wire.AppendString(b, name), ':'), name)
	}
	return append(b, '}')
}
