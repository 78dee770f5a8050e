package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEveryDefaultCompilesAndIsThereOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Defaults() {
		if seen[r.Name] {
			t.Errorf("rule %s is there twice", r.Name)
		}
		seen[r.Name] = true
		if _, err := parseCheck(r.Check); err != nil {
			t.Errorf("rule %s: %v", r.Name, err)
		}
		if r.About == "" {
			t.Errorf("rule %s does not say what it is about", r.Name)
		}
		for _, o := range r.Operations {
			if verb, path, ok := strings.Cut(o, " "); !ok || !strings.HasPrefix(path, "/") || !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, verb) {
				t.Errorf("rule %s decides on %q, which is no request", r.Name, o)
			}
		}
	}
	p, err := NewPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := p.Warnings(); len(w) > 0 {
		t.Errorf("the defaults give warnings: %q", w)
	}
	for name := range seen {
		if !p.Has(name) {
			t.Errorf("the policy lacks rule %s", name)
		}
	}
	for old, now := range renamed() {
		if seen[old] || !seen[now] {
			t.Errorf("%s is said to be the old name of %s", old, now)
		}
	}
}

func TestARuleThatDoesNotExistAllowsNothing(t *testing.T) {
	p, err := NewPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Policy{p, {}} {
		j := p.For(Identity{ProjectID: "p", Roles: Implied([]string{"admin"})})
		if p.Has("make_coffee") || j.Allows("make_coffee", object{"project_id": "p"}) {
			t.Error("a rule that does not exist allows something")
		}
		if allowed, known := j.Decided("make_coffee"); allowed || !known {
			t.Errorf("a rule that does not exist is decided as %v, %v", allowed, known)
		}
	}
}

func TestAnOperatorChangesARuleAndWhatFollowsFromIt(t *testing.T) {
	p, err := NewPolicy(map[string]string{
		"context_is_admin": "role:boss",
		"get_network":      "rule:auditors or rule:admin_only",
		"auditors":         "role:auditor",
	})
	if err != nil {
		t.Fatal(err)
	}
	boss, admin, auditor := p.For(Identity{Roles: []string{"boss"}}), p.For(Identity{Roles: []string{"admin"}}), p.For(Identity{Roles: []string{"auditor"}})
	if !boss.Allows("create_network:shared", nil) || admin.Allows("create_network:shared", nil) {
		t.Error("context_is_admin was changed, and create_network:shared still asks for the role admin")
	}
	if !auditor.Allows("get_network", nil) || auditor.Allows("get_subnet", nil) {
		t.Error("get_network was given to auditors")
	}
	if w := p.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
}

func TestARuleThatNobodyAsksForIsAWarning(t *testing.T) {
	p, err := NewPolicy(map[string]string{
		"create_firewall": "rule:firewall_owner or broken", // of a service that is not here, with what it needs
		"get_network":     "rule:mine", "mine": "@",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`rule "create_firewall" decides on nothing: no request and no other rule asks for it`}
	if got := p.Warnings(); !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
	if p.Has("create_firewall") {
		t.Error("the policy has a rule that it warned about")
	}
}

// Rules of tags had other names; who narrowed one must not find it wide open
// (failures.md S22).
func TestAnOldNameStillNarrows(t *testing.T) {
	member := Identity{ProjectID: "p", Roles: []string{"member"}}
	own := object{"project_id": "p"}
	p, err := NewPolicy(map[string]string{"update_networks_tags": "rule:admin_only", "delete_network:tags": "rule:update_networks_tags"})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"update_network:tags", "update_networks_tags", "delete_network:tags"} {
		if p.For(member).Allows(rule, own) {
			t.Errorf("%s: a member may, although the operator said administrators", rule)
		}
	}
	if w := p.Warnings(); len(w) != 1 || !strings.Contains(w[0], `"update_networks_tags" is now called "update_network:tags"`) {
		t.Errorf("warnings %q", w)
	}
	p, err = NewPolicy(map[string]string{"update_networks_tags": "@", "update_network:tags": "!"})
	if err != nil {
		t.Fatal(err)
	}
	if p.For(member).Allows("update_network:tags", own) {
		t.Error("the old name wins over the new one")
	}
	if w := p.Warnings(); len(w) != 1 || !strings.Contains(w[0], "wins") {
		t.Errorf("warnings %q", w)
	}
}

func TestACircleAndAMissingRuleAreRefusedWithTheirChain(t *testing.T) {
	for _, c := range []struct {
		overrides map[string]string
		want      string
	}{
		{map[string]string{"owner": "rule:owner"}, `rule "owner" refers to itself: owner -> owner`},
		{map[string]string{"admin_only": "rule:a", "a": "@ and not rule:b", "b": "(rule:context_is_admin)", "context_is_admin": "rule:a"}, "a -> b -> context_is_admin -> a"},
		{map[string]string{"context_is_admin": "is_admin:True"}, "context_is_admin -> context_is_admin"},
		{map[string]string{"get_port": "rule:a", "a": "@ or rule:nobody"}, `rule "a" refers to a rule that does not exist: get_port -> a -> nobody`},
	} {
		_, err := NewPolicy(c.overrides)
		if err == nil {
			t.Errorf("%v is accepted", c.overrides)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.overrides, err, c.want)
		}
		if n := strings.Count(err.Error(), "\n"); n > 0 {
			t.Errorf("%v: the one mistake is told %d times: %v", c.overrides, n+1, err)
		}
	}
}

// What depends on the caller only is known before any object is looked at.
func TestWhatDependsOnTheCallerOnlyIsDecided(t *testing.T) {
	p, err := NewPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct{ allowed, known bool }
	for _, c := range []struct {
		role, rule string
		want       answer
	}{
		{"admin", "get_port:binding:host_id", answer{true, true}},
		{"member", "get_port:binding:host_id", answer{false, true}},
		{"admin", "get_network", answer{true, true}},
		{"member", "get_network", answer{false, false}},
		{"stranger", "get_router", answer{false, true}},
		{"stranger", "create_port:device_owner", answer{false, false}},
	} {
		j := p.For(Identity{ProjectID: "p", Roles: Implied([]string{c.role})})
		allowed, known := j.Decided(c.rule)
		if got := (answer{allowed, known}); got != c.want {
			t.Errorf("%s asked by %s: %v, want %v", c.rule, c.role, got, c.want)
		}
	}
}

// port is a target as the API has them: attributes without a map.
type port struct{ project, network string }

func (p *port) Attr(name string) (string, bool) {
	switch name {
	case "project_id":
		return p.project, true
	case "network:project_id":
		return p.network, true
	}
	return "", false
}

// BenchmarkList is the policy's part of listing 5,000 ports: the rule of each row,
// and the attributes that some callers may not see.
func BenchmarkList(b *testing.B) {
	p, err := NewPolicy(nil)
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]*port, 5000)
	for i := range rows {
		rows[i] = &port{fmt.Sprint("project-", i%100), fmt.Sprint("project-", i%10)}
	}
	for _, role := range []string{"admin", "member"} {
		b.Run(role, func(b *testing.B) {
			for b.Loop() {
				j := p.For(Identity{ProjectID: "project-7", Roles: Implied([]string{role})})
				seen := 0
				_, hidden := j.Decided("get_port:binding:host_id")
				for _, r := range rows {
					if j.Allows("get_port", r) {
						seen++
					}
				}
				if seen == 0 || !hidden {
					b.Fatal("nothing seen")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
		})
	}
}

func BenchmarkAllows(b *testing.B) {
	p, err := NewPolicy(nil)
	if err != nil {
		b.Fatal(err)
	}
	j := p.For(Identity{ProjectID: "p", Roles: Implied([]string{"member"})})
	row := &port{"q", "p"}
	for b.Loop() {
		if !j.Allows("delete_port", row) {
			b.Fatal("not allowed")
		}
	}
}

func BenchmarkDecided(b *testing.B) {
	p, err := NewPolicy(nil)
	if err != nil {
		b.Fatal(err)
	}
	j := p.For(Identity{ProjectID: "p", Roles: Implied([]string{"member"})})
	for b.Loop() {
		if allowed, known := j.Decided("get_port:binding:host_id"); allowed || !known {
			b.Fatal("not decided")
		}
	}
}

// BenchmarkRequest is the policy's part of one small request: a new caller, one
// rule, ten attributes.
func BenchmarkRequest(b *testing.B) {
	p, err := NewPolicy(nil)
	if err != nil {
		b.Fatal(err)
	}
	row := &port{"p", "p"}
	who := Identity{ProjectID: "p", Roles: Implied([]string{"member"})}
	rules := []string{"get_port", "get_port:binding:host_id", "get_port:binding:profile", "get_port:binding:vif_type", "get_port:binding:vif_details",
		"get_port:resource_request", "get_port:hints", "get_port:trusted", "update_port", "update_port:fixed_ips"}
	b.ReportAllocs()
	for b.Loop() {
		j := p.For(who)
		for _, r := range rules {
			j.Allows(r, row)
		}
	}
}
