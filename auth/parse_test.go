package auth

import (
	"strings"
	"testing"
)

// object is a target whose attributes a test names.
type object map[string]string

func (o object) Attr(name string) (string, bool) { v, ok := o[name]; return v, ok }

// judge is a policy of the defaults and one rule called "asked".
func judge(t testing.TB, text string, who Identity) *Judge {
	t.Helper()
	p, err := NewPolicy(map[string]string{"asked": text, "default": "rule:asked"})
	if err != nil {
		t.Fatal(err)
	}
	return p.For(who)
}

func TestTheLanguageSaysWhatOsloPolicySays(t *testing.T) {
	alice := Identity{
		UserID: "alice", ProjectID: "blue", DomainID: "d", Roles: []string{"member", "reader"}, ServiceRoles: []string{"service"},
	}
	target := object{"project_id": "blue", "network:project_id": "red", "shared": "true", "device_owner": "network:dhcp",
		"name": "it's (a) 100%", "size": "3", "user_id": "alice", "a": "bl", "b": "ue", "target_tenant": "*"}
	for text, want := range map[string]bool{
		"": true, "  ": true, "@": true, "!": false, "not !": true, "not not @": true, "NOT @": false,
		"@ and !": false, "@ or !": true, "! or @ and !": false, "@ or ! and !": true, "(@ or !) and !": false,
		"not ! and @": true, "not (@ and @)": false, "((@))": true, "@ AND (! OR @)": true,
		"role:member": true, "role:MEMBER": true, "role:admin": false, "role:member and not role:admin": true,
		"rule:admin_only": false, "rule:owner": true, "rule:network_owner": false, "rule:shared": true,
		"is_admin:True": false, "is_admin:False": true, "is_admin:1": false, "not is_admin:true": true,
		"user_id:%(user_id)s": true, "user:alice": true, "user_id:bob": false,
		"project_id:%(project_id)s": true, "tenant_id:%(tenant_id)s": true, "tenant:%(project_id)s": true,
		"project_id:%(network:project_id)s": false, "tenant_id:%(network:tenant_id)s": false,
		"project_id:blue": true, "project_id:%(missing)s": false, "project_id:%(a)s%(b)s": true, "project_id:%(a)sx": false,
		"project_id:b%%": false, "domain_id:d": true, "system_scope:all": false,
		"roles:reader": true, "service_roles:service": true, "service_role:service": true, "service_roles:admin": false,
		"True:%(shared)s": true, "False:%(shared)s": false, "None:%(missing)s": true, "None:%(shared)s": false,
		"3:%(size)s": true, "4:%(size)s": false, "None:None": true,
		`"it's (a) 100%":%(name)s`: true, `'network:dhcp':%(device_owner)s`: true, `'blue':%(network:project_id)s`: false,
		`'x':x`: true, `'x':y`: false, `'100%':100%%`: true,
		"field:networks:shared=True": true, "field:networks:shared=true": true, "field:networks:shared=False": false,
		"field:ports:device_owner=network:dhcp": true, "field:port:device_owner=~^network:": true,
		"field:port:device_owner=~^compute:": false, "field:port:device_owner=~dhcp": false, // from the start on
		"field:port:device_owner=~.*(dhcp|router)": true, "field:port:device_owner=~(network:(dhcp)) and @": true,
		"field:ports:missing=x": false, "not field:ports:missing=~.*": true,
		"field:rbac_policy:target_tenant=*": true, "not field:rbac_policy:target_project=*": false,
	} {
		if got := judge(t, text, alice).Allows("asked", target); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestASystemTokenIsSeen(t *testing.T) {
	if !judge(t, "system_scope:all", Identity{System: true}).Allows("asked", nil) {
		t.Error("system_scope:all does not hold for a token of the whole system")
	}
	if judge(t, "system_scope:all", Identity{}).Allows("asked", nil) {
		t.Error("system_scope:all holds for everybody")
	}
}

// A port has no "shared" of its own; the network above it has.
func TestAPortIsSharedWhenItsNetworkIs(t *testing.T) {
	j := judge(t, "rule:shared", Identity{})
	if !j.Allows("asked", object{"network:shared": "true"}) {
		t.Error("a port on a shared network is not shared")
	}
	if j.Allows("asked", object{"shared": "false", "network:shared": "true"}) {
		t.Error("the network's word counts although the object has its own")
	}
}

// Gateway and floating IP ports have the project "" (api.md section 1.5): a caller
// without a project does not own them.
func TestWhoHasNoProjectOwnsNothing(t *testing.T) {
	for _, text := range []string{"project_id:%(project_id)s", "tenant_id:%(tenant_id)s", "user_id:%(project_id)s", "project_id:%(project_id)s%(x)s"} {
		if judge(t, text, Identity{Roles: []string{"member"}}).Allows("asked", object{"project_id": "", "x": ""}) {
			t.Errorf("%s holds for a caller without a project and an object without one", text)
		}
	}
}

func TestWhatCannotBeReadIsRefusedWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"(@":                            "character 3: the parenthesis that character 1 opens is not closed",
		"@)":                            "character 2: expected \"and\", \"or\" or the end",
		"@ @":                           "character 3: expected",
		"or @":                          "character 1: expected a check before \"or\"",
		"@ and":                         "character 6: expected a check",
		"@ and or @":                    "character 7: expected a check before \"or\"",
		"not":                           "character 4: expected a check",
		"()":                            "character 2: expected a check",
		"é and nonsense":                "character 1: \"é\" is not a check",
		"@ and nonsense":                "character 7: \"nonsense\" is not a check",
		"@ and (role:)":                 "character 8: nothing follows the colon",
		":x":                            "is not a check",
		"'x' or @":                      "is not a check",
		"'x:y":                          "is not a check",
		"(role:admin)or(role:member)":   "character 13: expected",
		"colour:red":                    "no credential is called \"colour\"; there are user_id",
		"is_admin:maybe":                "is_admin is compared with True or False only",
		"is_admin:%(x)s":                "is_admin is compared",
		"project_id:%(project_id)":      "after a per cent sign",
		"project_id:%s":                 "after a per cent sign",
		"project_id:%()s":               "after a per cent sign",
		"field:networks":                "not of the form field:resource:attribute=value",
		"field:networks:shared":         "not of the form",
		"field:ports:x=~a(?=b)":         "the syntax is RE2's",
		"field:ports:x=~[":              "the syntax is RE2's",
		"http://example.com/%(id)s":     "asks a remote server",
		strings.Repeat("(", 1000) + "@": "nested more than 64 deep",
	} {
		_, err := NewPolicy(map[string]string{"create_network": text})
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `policy: rule "create_network": `) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Case matters for names, also for ones that look like booleans.
func TestAProjectCalledTrueIsNotTheOneCalledTRUE(t *testing.T) {
	if judge(t, "project_id:%(project_id)s", Identity{ProjectID: "true"}).Allows("asked", object{"project_id": "TRUE"}) {
		t.Error("project \"true\" owns the objects of project \"TRUE\"")
	}
}

// Whatever an operator writes is compiled or refused, and what is compiled decides.
func FuzzCheck(f *testing.F) {
	for _, r := range Defaults() {
		f.Add(r.Check)
	}
	for _, s := range []string{"(@", "'a b':%(c)s", "field:a:b=~(", "not not !", "\"", "%(", "a:%%", "\\", "((((", "'':", "None:%(a)sx"} {
		f.Add(s)
	}
	who := Identity{ProjectID: "p", UserID: "u", Roles: []string{"member"}}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCheck(text)
		if err != nil {
			if !strings.Contains(err.Error(), "character ") {
				t.Errorf("%q: the error names no place: %v", text, err)
			}
			return
		}
		rules := map[string]int{}
		for _, to := range references(c) {
			rules[to] = 0
		}
		p := &Policy{rules: map[string]int{"asked": 1}, checks: []check{verdict(true), link(c, rules)}}
		j := p.For(who)
		for _, o := range []Target{nil, object{"project_id": "p", "shared": "true"}} {
			got := j.Allows("asked", o)
			if v, known := j.Decided("asked"); known && v != got {
				t.Errorf("%q: Decided says %v, Allows %v", text, v, got)
			}
		}
	})
}
