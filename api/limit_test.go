package api

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/store/engine/sqlite"
)

// bounded is a kind of which the registry knows what limits it.
type bounded interface {
	bound() (limit quota.Limit, created bool)
}

func (k *kind[T]) bound() (quota.Limit, bool) {
	if k.create == nil {
		return quota.Limit{}, false
	}
	return k.create.limit, true
}

// Every kind that objects can be made of is counted, or says why it need not be;
// and everything that is counted has a default that is a limit.
func TestEveryNounThatIsMadeHasALimit(t *testing.T) {
	counted := map[string]bool{}
	check := func(name string, b bounded) {
		limit, created := b.bound()
		if !created {
			return
		}
		resource, ok := limit.Resource()
		switch {
		case !ok && limit.Why() == "":
			t.Errorf("%s has no limit and no reason", name)
		case ok:
			counted[resource] = true
		}
	}
	for _, r := range resources(intent.DefaultConfig()) {
		if b, ok := r.(bounded); ok {
			check(r.called().one, b)
		} else if slices.ContainsFunc(r.routes(), func(r route) bool { return r.method == "POST" }) {
			t.Errorf("%s does not say what limits it", r.called().one)
		}
	}
	check("port forwarding", forwardingsBelow(kind[neutrino.PortForwarding]{}, "f"))
	check("port binding", bindingsBelow(kind[neutrino.PortBinding]{}, "p"))
	if got := slices.Sorted(maps.Keys(counted)); !slices.Equal(got, quota.Resources()) {
		t.Errorf("nouns are limited by %v, counted are %v", got, quota.Resources())
	}
	for name, most := range quota.Standard() {
		if most < 1 {
			t.Errorf("%s: the default %d is no limit", name, most)
		}
	}
}

// The row of the issue: one member made all address scopes of the cloud, and
// subnet pools without end.
func TestMemberFillsItsOwnShareOnly(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, intent.DefaultConfig().Quotas)
	for _, noun := range []struct {
		path, one, body string
	}{
		{"address-scopes", "address_scope", `"name":"s","ip_version":4`},
		{"subnetpools", "subnetpool", `"name":"p","prefixes":["10.0.0.0/8"]`},
	} {
		body := fmt.Sprintf(`{%q:{%s}}`, noun.one, noun.body)
		made := 0
		for ; made < 1000; made++ {
			if a := c.do("POST", "/v2.0/"+noun.path, body, as("mallory")...); a.status != 201 {
				a.fails(409, "OverQuota", "'"+noun.one+"'")
				break
			}
		}
		if most := intent.DefaultConfig().Quotas[noun.one]; made != most {
			t.Errorf("%s: %d were made, want %d", noun.path, made, most)
		}
		c.post("/v2.0/"+noun.path, body, as("alice")...)
		c.do("PUT", "/v2.0/quotas/mallory", fmt.Sprintf(`{"quota":{%q:%d}}`, noun.one, made+1)).want(200)
		c.post("/v2.0/"+noun.path, body, as("mallory")...)
	}
}

// What Neutron does not count is counted here: see docs/differences.md.
func TestForwardingsAndLabelsAreCounted(t *testing.T) {
	c := limitedCloud(t, sqlite.Memory, map[string]int{"port_forwarding": 1, "metering_label": 1, "metering_label_rule": 1})
	r := c.routed()
	port := c.port(r.network, "")
	address := port["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
	label := ""
	for _, noun := range []struct {
		path, one string
		body      func(i int) string
	}{
		{"floatingips/" + c.floating(r.external, "")["id"].(string) + "/port_forwardings", "port_forwarding", func(i int) string {
			return fmt.Sprintf(`"protocol":"tcp","external_port":%d,"internal_port":%d,"internal_port_id":%q,"internal_ip_address":%q`,
				2222+i, 22+i, port["id"], address)
		}},
		{"metering/metering-labels", "metering_label", func(int) string { return `"name":"l"` }},
		{"metering/metering-label-rules", "metering_label_rule", func(i int) string {
			return fmt.Sprintf(`"metering_label_id":%q,"direction":"ingress","remote_ip_prefix":"10.0.%d.0/24"`, label, i)
		}},
	} {
		first := c.post("/v2.0/"+noun.path, fmt.Sprintf(`{%q:{%s}}`, noun.one, noun.body(0)))
		if noun.one == "metering_label" {
			label = first["id"].(string)
		}
		before := c.db.Snapshot().Revision()
		c.do("POST", "/v2.0/"+noun.path, fmt.Sprintf(`{%q:{%s}}`, noun.one, noun.body(1))).fails(409, "OverQuota", "'"+noun.one+"'")
		if c.db.Snapshot().Revision() != before {
			t.Errorf("%s: the refused request wrote", noun.path)
		}
	}
}
