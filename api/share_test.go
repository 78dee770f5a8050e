package api

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/work"
	"neutrino/store"
)

// The headers of members of two projects.
var (
	asRed  = []string{"X-Project-Id", "red", "X-Roles", "member,reader"}
	asBlue = []string{"X-Project-Id", "blue", "X-Roles", "member,reader"}
)

func (c *cloud) share(typ, object, target string, headers ...string) string {
	c.t.Helper()
	return c.post("/v2.0/rbac-policies", fmt.Sprintf(
		`{"rbac_policy":{"object_type":%q,"object_id":%q,"action":"access_as_shared","target_tenant":%q}}`, typ, object, target), headers...)["id"].(string)
}

// api.md section 7, T15 and T31: what is shared depends on who asks, and the
// policy is its maker's alone.
func TestSharedIsAsTheCallerSeesIt(t *testing.T) {
	c := newCloud(t)
	n := c.post("/v2.0/networks", `{"network":{"name":"n"}}`, asRed...)["id"].(string)
	c.get("/v2.0/networks/"+n, asBlue...).fails(404, "NetworkNotFound", n)
	p := c.share("network", n, "blue", asRed...)
	if got := c.get("/v2.0/networks/"+n, asRed...).one()["shared"]; got != false {
		t.Errorf("the owner sees shared %v", got)
	}
	if got := c.get("/v2.0/networks/"+n, asBlue...).one()["shared"]; got != true {
		t.Errorf("the target sees shared %v", got)
	}
	for filter, want := range map[string]int{"?shared=true": 1, "?shared=false": 0, "": 1} {
		if got := c.get("/v2.0/networks"+filter, asBlue...).list("networks"); len(got) != want {
			t.Errorf("%s lists %v", filter, got)
		}
	}
	c.get("/v2.0/rbac-policies/"+p, asBlue...).fails(404, "RbacPolicyNotFound", p)
	c.do("DELETE", "/v2.0/rbac-policies/"+p, "", asBlue...).fails(404, "RbacPolicyNotFound", p)
	if got := c.get("/v2.0/rbac-policies", asBlue...).list("rbac_policies"); len(got) != 0 {
		t.Errorf("the target lists %v", got)
	}
	body := func(object, target string) string {
		return fmt.Sprintf(`{"rbac_policy":{"object_type":"network","object_id":%q,"action":"access_as_shared","target_tenant":%q}}`, object, target)
	}
	c.do("POST", "/v2.0/rbac-policies", body(n, "*"), asRed...).fails(403, "PolicyNotAuthorized", "create_rbac_policy:target_tenant")
	c.do("PUT", "/v2.0/rbac-policies/"+p, `{"rbac_policy":{"target_tenant":"*"}}`, asRed...).fails(403, "PolicyNotAuthorized", "update_rbac_policy:target_tenant")
	c.do("POST", "/v2.0/rbac-policies", body("a0000000-0000-4000-8000-000000000000", "blue"), asRed...).fails(400, "InvalidInput", "object_id")
	c.do("POST", "/v2.0/rbac-policies", body(n, "blue"), asRed...).fails(409, "DuplicateRbacPolicy", "already exists")
	port := c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, n), asBlue...)["id"].(string)
	c.do("DELETE", "/v2.0/rbac-policies/"+p, "", asRed...).fails(409, "RbacPolicyInUse", port)
	c.do("DELETE", "/v2.0/ports/"+port, "", asBlue...).want(204)
	c.do("DELETE", "/v2.0/rbac-policies/"+p, "", asRed...).want(204)
}

// target_project and target_tenant are one attribute, which answers call
// target_tenant.
func TestAPolicysTargetHasTwoNames(t *testing.T) {
	c := newCloud(t)
	n := c.post("/v2.0/networks", `{"network":{}}`)["id"].(string)
	body := `{"rbac_policy":{"object_type":"network","object_id":%q,"action":"access_as_shared",%s}}`
	p := c.post("/v2.0/rbac-policies", fmt.Sprintf(body, n, `"target_project":"blue"`))
	if p["target_tenant"] != "blue" || keys(p) != "action id object_id object_type project_id target_tenant tenant_id" {
		t.Errorf("made %v", p)
	}
	c.do("POST", "/v2.0/rbac-policies", fmt.Sprintf(body, n, `"target_project":"a","target_tenant":"b"`)).fails(400, "HTTPBadRequest", "do not match")
	for _, name := range []string{"target_project", "target_tenant"} {
		if got := c.get("/v2.0/rbac-policies?" + name + "=blue").list("rbac_policies"); len(got) != 1 {
			t.Errorf("%s finds %v", name, got)
		}
	}
	c.do("PUT", fmt.Sprint("/v2.0/rbac-policies/", p["id"]), `{"rbac_policy":{"target_project":"red"}}`).want(200)
	c.do("PUT", fmt.Sprint("/v2.0/rbac-policies/", p["id"]), `{"rbac_policy":{"action":"access_as_external"}}`).fails(400, "HTTPBadRequest", "read-only")
}

func TestTheFlagsOfANetworkArePolicies(t *testing.T) {
	c := newCloud(t)
	c.do("POST", "/v2.0/networks", `{"network":{"shared":true}}`, asRed...).fails(403, "PolicyNotAuthorized", "create_network:shared")
	c.do("POST", "/v2.0/networks", `{"network":{"shared":false}}`, asRed...).want(201)
	n := c.post("/v2.0/networks", `{"network":{"shared":true,"router:external":true}}`)
	if n["shared"] != true || n["router:external"] != true {
		t.Errorf("made %v", n)
	}
	id := n["id"].(string)
	var actions []string
	for _, p := range c.get("/v2.0/rbac-policies?object_id=" + id).list("rbac_policies") {
		actions = append(actions, fmt.Sprint(p["action"], " ", p["target_tenant"]))
	}
	if slices.Sort(actions); fmt.Sprint(actions) != "[access_as_external * access_as_shared *]" {
		t.Errorf("policies %v", actions)
	}
	if got := c.do("PUT", "/v2.0/networks/"+id, `{"network":{"shared":false,"router:external":false}}`).want(200).one(); got["shared"] != false || got["router:external"] != false {
		t.Errorf("changed %v", got)
	}
	if got := c.get("/v2.0/rbac-policies?object_id=" + id).list("rbac_policies"); len(got) != 0 {
		t.Errorf("policies %v", got)
	}
	c.post("/v2.0/rbac-policies", fmt.Sprintf(`{"rbac_policy":{"object_type":"network","object_id":%q,"action":"access_as_external","target_tenant":"blue"}}`, id))
	if got := c.get("/v2.0/networks?router:external=true", asBlue...).list("networks"); len(got) != 1 || got[0]["shared"] != false {
		t.Errorf("blue finds %v", got)
	}
	if got := c.get("/v2.0/networks?router:external=true", asRed...).list("networks"); len(got) != 0 {
		t.Errorf("red finds %v", got)
	}
}

func TestASubnetPoolOnTheWire(t *testing.T) {
	c := newCloud(t)
	p := c.post("/v2.0/subnetpools", `{"subnetpool":{"name":"p","prefixes":["10.40.0.7/16","10.41.0.0/16"],"default_prefixlen":"24","default_quota":512}}`, asRed...)
	if got := fmt.Sprint(p["prefixes"], p["default_prefixlen"], p["min_prefixlen"], p["max_prefixlen"], p["ip_version"], p["shared"], p["is_default"], p["address_scope_id"], p["default_quota"]); got != "[10.40.0.0/15]248324 false false <nil> 512" {
		t.Errorf("made %s", got)
	}
	for _, k := range []string{"default_prefixlen", "min_prefixlen", "max_prefixlen"} {
		if _, text := p[k].(string); !text {
			t.Errorf("%s is %T, want text", k, p[k])
		}
	}
	if want := "address_scope_id created_at default_prefixlen default_quota description id ip_version is_default max_prefixlen min_prefixlen name prefixes project_id revision_number shared tags tenant_id updated_at"; keys(p) != want {
		t.Errorf("a pool has\n%s, want\n%s", keys(p), want)
	}
	path := "/v2.0/subnetpools/" + p["id"].(string)
	c.do("POST", "/v2.0/subnetpools", `{"subnetpool":{"prefixes":["10.0.0.0/8"]}}`, asRed...).fails(400, "HTTPBadRequest", "name")
	c.do("POST", "/v2.0/subnetpools", `{"subnetpool":{"name":"q"}}`, asRed...).fails(400, "HTTPBadRequest", "prefixes")
	c.do("POST", "/v2.0/subnetpools", `{"subnetpool":{"name":"q","prefixes":["10.0.0.0/8"],"shared":true}}`, asRed...).fails(403, "PolicyNotAuthorized", "shared")
	c.do("POST", "/v2.0/subnetpools", `{"subnetpool":{"name":"q","prefixes":["10.0.0.0/8"],"is_default":true}}`, asRed...).fails(403, "PolicyNotAuthorized", "is_default")
	c.do("PUT", path, `{"subnetpool":{"shared":true}}`).fails(400, "HTTPBadRequest", "read-only")
	c.do("PUT", path, `{"subnetpool":{"default_quota":null}}`, asRed...).want(200)
	n := c.post("/v2.0/networks", `{"network":{}}`, asRed...)["id"].(string)
	s := c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"subnetpool_id":%q,"prefixlen":26}}`, n, p["id"]), asRed...)
	if s["cidr"] != "10.40.0.0/26" || s["subnetpool_id"] != p["id"] || s["prefixlen"] != nil {
		t.Errorf("made %v", s)
	}
	c.do("POST", "/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"subnetpool_id":%q,"prefixlen":-1}}`, n, p["id"]), asRed...).fails(400, "HTTPBadRequest", "prefixlen")
	c.do("POST", "/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"subnetpool_id":%q,"prefixlen":"99999999999"}}`, n, p["id"]), asRed...).fails(400, "InvalidInput", "integer")
	if got := c.get("/v2.0/subnets?subnetpool_id="+p["id"].(string), asRed...).list("subnets"); len(got) != 1 {
		t.Errorf("found %v", got)
	}
	c.do("PUT", "/v2.0/subnets/"+s["id"].(string), fmt.Sprintf(`{"subnet":{"subnetpool_id":%q}}`, p["id"]), asRed...).fails(400, "HTTPBadRequest", "read-only")
	c.do("POST", "/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":6,"subnetpool_id":"prefix_delegation"}}`, n), asRed...).fails(400, "InvalidInput", "prefix delegation")
	c.do("POST", "/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":6,"use_default_subnetpool":true}}`, n), asRed...).fails(400, "BadRequest", "No default subnetpool")
	c.do("DELETE", path, "", asRed...).fails(400, "SubnetPoolDeleteError", "existing allocations")
	c.get(path, asBlue...).fails(404, "SubnetPoolNotFound", "")
	c.do("PUT", path+"/add_prefixes", `{"prefixes":["10.50.0.0/16"]}`, asBlue...).fails(404, "SubnetPoolNotFound", "")
	c.share("subnetpool", p["id"].(string), "blue", asRed...)
	c.do("PUT", path+"/add_prefixes", `{"prefixes":["10.50.0.0/16"]}`, asBlue...).fails(403, "PolicyNotAuthorized", "add_prefixes")
	c.do("PUT", path+"/onboard_network_subnets", fmt.Sprintf(`{"network_id":%q}`, n), asBlue...).fails(403, "PolicyNotAuthorized", "onboard")
	if got := c.do("PUT", path+"/add_prefixes", `{"prefixes":["10.50.0.0/16"]}`, asRed...).want(200).text; got != `{"prefixes":["10.40.0.0/15","10.50.0.0/16"]}` {
		t.Errorf("answer %s", got)
	}
	if got := c.do("PUT", path+"/remove_prefixes", `{"prefixes":["10.50.0.0/16"]}`, asRed...).want(200).text; got != `{"prefixes":["10.40.0.0/15"]}` {
		t.Errorf("answer %s", got)
	}
	c.do("PUT", path+"/add_prefixes", `{"prefixes":"10.50.0.0/16"}`, asRed...).fails(400, "HTTPBadRequest", "")
	c.do("PUT", path+"/onboard_network_subnets", `{}`, asRed...).fails(400, "HTTPBadRequest", "network_id")
}

func TestAnAddressScopeOnTheWire(t *testing.T) {
	c := newCloud(t)
	a := c.post("/v2.0/address-scopes", `{"address_scope":{"name":"a","ip_version":4}}`, asRed...)
	if want := "id ip_version name project_id shared tenant_id"; keys(a) != want || a["shared"] != false {
		t.Errorf("made %v", a)
	}
	path := "/v2.0/address-scopes/" + a["id"].(string)
	c.do("POST", "/v2.0/address-scopes", `{"address_scope":{"ip_version":5}}`).fails(400, "HTTPBadRequest", "ip_version")
	c.do("PUT", path, `{"address_scope":{"shared":true}}`, asRed...).fails(403, "PolicyNotAuthorized", "shared")
	p := c.post("/v2.0/subnetpools", fmt.Sprintf(`{"subnetpool":{"name":"p","prefixes":["10.0.0.0/16"],"default_prefixlen":24,"address_scope_id":%q}}`, a["id"]), asRed...)
	n := c.post("/v2.0/networks", `{"network":{}}`, asRed...)
	if n["ipv4_address_scope"] != nil {
		t.Errorf("made %v", n)
	}
	c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"subnetpool_id":%q}}`, n["id"], p["id"]), asRed...)
	if got := c.get("/v2.0/networks/"+n["id"].(string), asRed...).one(); got["ipv4_address_scope"] != a["id"] || got["ipv6_address_scope"] != nil {
		t.Errorf("network %v", got)
	}
	c.do("DELETE", path, "", asRed...).fails(409, "AddressScopeInUse", "")
	if got := c.do("PUT", path, `{"address_scope":{"shared":true}}`).want(200).one(); got["shared"] != true {
		t.Errorf("changed %v", got)
	}
	c.do("PUT", path, `{"address_scope":{"shared":false}}`).fails(400, "AddressScopeUpdateError", "")
	if got := c.get("/v2.0/address-scopes?shared=true", asBlue...).list("address_scopes"); len(got) != 1 {
		t.Errorf("blue finds %v", got)
	}
}

// A member's list is what it would find by looking at every row, though it looks
// at its own and at what it is given only.
func TestAListReachesWhatIsVisible(t *testing.T) {
	c := newCloud(t)
	for i, headers := range [][]string{asRed, asBlue, asRed} {
		n := c.post("/v2.0/networks", `{"network":{}}`, headers...)["id"].(string)
		c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"cidr":"10.0.%d.0/24"}}`, n, i), headers...)
		c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, n), headers...)
		g := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`, headers...)["id"].(string)
		p := c.post("/v2.0/subnetpools", fmt.Sprintf(`{"subnetpool":{"name":"p","prefixes":["10.%d.0.0/16"]}}`, i), headers...)["id"].(string)
		a := c.post("/v2.0/address-scopes", `{"address_scope":{"ip_version":4}}`, headers...)["id"].(string)
		if i == 1 {
			c.share("network", n, "red", headers...)
		}
		if i == 2 {
			for typ, id := range map[string]string{"network": n, "security_group": g, "subnetpool": p, "address_scope": a} {
				c.share(typ, id, "blue", headers...)
			}
			c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, n), asBlue...)
		}
	}
	outside := c.post("/v2.0/networks", `{"network":{"router:external":true}}`)["id"].(string)
	c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":4,"cidr":"203.0.113.0/24"}}`, outside))
	snap, blue := c.db.Snapshot(), intent.Caller{ProjectID: "blue"}
	reached(t, c, "networks", visible(snap, work.Networks(), blue))
	reached(t, c, "subnets", visible(snap, work.Subnets(), blue))
	reached(t, c, "ports", visible(snap, work.Ports(), blue))
	reached(t, c, "security-groups", visible(snap, work.Groups(), blue))
	reached(t, c, "subnetpools", visible(snap, work.SubnetPools(), blue))
	reached(t, c, "address-scopes", visible(snap, work.AddressScopes(), blue))
	reached(t, c, "rbac-policies", visible(snap, work.RBACPolicies(), blue))
}

func visible[T any](snap *store.Snapshot, k work.Kind[T], who intent.Caller) (ids []string) {
	for row := range store.All(snap, k.Table) {
		if k.Visible(who, snap, row) {
			ids = append(ids, string(k.Table.ID(row)))
		}
	}
	return ids
}

func reached(t *testing.T, c *cloud, path string, want []string) {
	t.Helper()
	var got []string
	for _, list := range c.get("/v2.0/"+path+"?fields=id", asBlue...).want(200).json() {
		for _, row := range list.([]any) {
			got = append(got, row.(map[string]any)["id"].(string))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("%s lists %v, want %v", path, got, want)
	}
}

// A member's list of networks costs what it shows, not what others have.
func TestAMembersListDoesNotReadForeignRows(t *testing.T) {
	c := newCloud(t)
	err := intent.New(c.db, wideConfig()).Do(context.Background(), intent.Caller{ProjectID: "red", Admin: true}, func(tx *intent.Tx) error {
		for range 500 {
			if _, err := intent.CreateNetwork(tx, neutrino.Network{}, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := c.post("/v2.0/networks", `{"network":{}}`, asBlue...)["id"].(string)
	v := view{Reader: c.db.Snapshot(), caller: intent.Caller{ProjectID: "blue"}}
	k := networks()
	if a := k.accessTo(v, &query[neutrino.Network]{}); a.count > 5 {
		t.Errorf("%s is found among %d rows", n, a.count)
	}
}
