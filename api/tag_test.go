package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"neutrino/api/wire"
	"neutrino/auth"
)

// taggables are one object of each kind with tags, by path, made by alice.
func (c *cloud) taggables() map[string]string {
	c.t.Helper()
	public, _ := c.external("public")
	alice := as("alice")
	id := func(path, body string) string { return c.post("/v2.0/"+path, body, alice...)["id"].(string) }
	net := id("networks", `{"network":{}}`)
	return map[string]string{
		"networks":        net,
		"subnets":         id("subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.0.0.0/24","ip_version":4}}`, net)),
		"ports":           id("ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, net)),
		"routers":         id("routers", `{"router":{}}`),
		"floatingips":     id("floatingips", fmt.Sprintf(`{"floatingip":{"floating_network_id":%q}}`, public)),
		"subnetpools":     id("subnetpools", `{"subnetpool":{"name":"p","prefixes":["10.0.0.0/8"]}}`),
		"security-groups": id("security-groups", `{"security_group":{"name":"g"}}`),
	}
}

// tagsOf are the tags as the object shows them, and its revision.
func (c *cloud) tagsOf(at string) (tags string, revision float64) {
	c.t.Helper()
	o := c.get(at, as("alice")...).want(200).one()
	list, ok := o["tags"].([]any)
	if !ok {
		c.t.Fatalf("%s has no tags: %v", at, o)
	}
	return fmt.Sprint(list), o["revision_number"].(float64)
}

// The statuses of the requests are those of api.md section 2.28 (and section 7,
// T17); a change bumps the object, and what changes nothing does not.
func TestTagsOfEveryKindOfObject(t *testing.T) {
	c := newCloud(t)
	for path, id := range c.taggables() {
		t.Run(path, func(t *testing.T) {
			at := "/v2.0/" + path + "/" + id
			revision := 0.0
			step := func(method, below, body string, status int, answer, tags string, bumps bool) {
				t.Helper()
				_, before := c.tagsOf(at)
				if got := c.do(method, at+"/tags"+below, body, as("alice")...).want(status); got.text != answer {
					t.Errorf("%s %s: %q, want %q", method, below, got.text, answer)
				}
				got, after := c.tagsOf(at)
				if got != tags || (after > before) != bumps {
					t.Errorf("%s %s: tags %s, want %s; revision %v, was %v", method, below, got, tags, after, before)
				}
				revision = after
			}
			step("GET", "", "", 200, `{"tags":[]}`, "[]", false)
			step("PUT", "/red", "", 201, "null", "[red]", true)
			step("PUT", "/red", "", 201, "null", "[red]", false)
			step("GET", "/red", "", 204, "", "[red]", false)
			step("POST", "", `{"tags":["blue","red"]}`, 200, `{"tags":["blue","red"]}`, "[red blue]", true)
			step("PUT", "", `{"tags":["a.b","","x,y"]}`, 200, `{"tags":["a.b","","x,y"]}`, "[a.b  x,y]", true)
			step("PUT", "/v1.json", "", 201, "null", "[a.b  x,y v1.json]", true)
			step("GET", "/v1.json", "", 204, "", "[a.b  x,y v1.json]", false)
			step("PUT", "/a%2Fb%20c", "", 201, "null", "[a.b  x,y v1.json a/b c]", true)
			step("DELETE", "/a%2Fb%20c", "", 204, "", "[a.b  x,y v1.json]", true)
			step("DELETE", "/a.b", "", 204, "", "[ x,y v1.json]", true)
			step("DELETE", "", "", 204, "", "[]", true)
			step("DELETE", "", "", 204, "", "[]", false)
			c.get(at+"/tags/red", as("alice")...).fails(404, "TagNotFound", "Tag red could not be found.")
			c.do("DELETE", at+"/tags/red", "", as("alice")...).fails(404, "TagNotFound", "red")
			c.do("PUT", at+"/tags/red", "", append(as("alice"), "If-Match", "revision_number=9999")...).want(412)
			c.do("PUT", at, fmt.Sprintf(`{%q:{"tags":["x"]}}`, strings.ReplaceAll(strings.TrimSuffix(path, "s"), "-", "_")), as("alice")...).
				fails(400, wire.TypeBadRequest, "read-only attribute tags")
			if _, after := c.tagsOf(at); after != revision {
				t.Error("a refused request bumped the object")
			}
		})
	}
}

func TestBadTagsAreRefused(t *testing.T) {
	c := newCloud(t)
	at := "/v2.0/networks/" + c.network("n") + "/tags"
	var fifty []string
	for i := range 50 {
		fifty = append(fifty, fmt.Sprintf(`"t%d"`, i))
	}
	for _, row := range []struct{ body, typ string }{
		{``, "InvalidInput"}, {`{}`, "InvalidInput"}, {`{"tag":["a"]}`, "InvalidInput"}, {`{"tags":["a"],"x":1}`, "InvalidInput"},
		{`{"tags":null}`, "InvalidInput"}, {`{"tags":"a"}`, "InvalidInput"}, {`{"tags":[1]}`, "InvalidInput"}, {`{"tags":[null]}`, "InvalidInput"},
		{`{"tags":["a","a"]}`, "InvalidInput"}, {`{"tags":["` + strings.Repeat("é", 256) + `"]}`, "InvalidInput"},
		{`{"tags":[` + strings.Join(fifty, ",") + `,"more"]}`, "BadRequest"}, {`[`, wire.TypeBadRequest},
	} {
		for _, method := range []string{"PUT", "POST"} {
			c.do(method, at, row.body).fails(400, row.typ, "")
		}
	}
	c.do("PUT", at+"/"+strings.Repeat("a", 256), "").fails(400, "InvalidInput", "exceeds maximum length of 255")
	c.do("PUT", at+"/"+url.PathEscape(strings.Repeat("é", 255)), "").want(201)
	c.do("PUT", at, `{"tags":[`+strings.Join(fifty, ",")+`]}`).want(200)
	c.do("PUT", at+"/t3", "").want(201)
	c.do("PUT", at+"/more", "").fails(400, "BadRequest", "more than the 50")
	c.do("POST", at, `{"tags":["more"]}`).fails(400, "BadRequest", "more than the 50")
	c.do("DELETE", at, `{}`).want(400)
	c.do("POST", at+"/t3", "").want(405)
	c.do("PATCH", at, "").want(405)
	c.get(at + "/t3/x").want(404)
	c.get("/v2.0/networks/none/tags").fails(404, "TagResourceNotFound", "Resource networks none could not be found.")
	c.do("PUT", "/v2.0/networks/none/tags/a", "").fails(404, "TagResourceNotFound", "none")
	c.get("/v2.0/agents/none/tags").want(404)
	c.do("POST", "/v2.0/networks", `{"network":{"tags":["a"]}}`).fails(400, wire.TypeBadRequest, "Attribute 'tags' not allowed in POST")
}

func TestFiltersOfTags(t *testing.T) {
	c := newCloud(t)
	for name, tags := range map[string]string{"none": ``, "red": `"red"`, "blue": `"blue"`, "both": `"red","blue"`, "empty": `""`} {
		c.do("PUT", "/v2.0/networks/"+c.network(name)+"/tags", `{"tags":[`+tags+`]}`).want(200)
	}
	for query, want := range map[string]string{
		"tags=red":                       "both red",
		"tags=red,blue":                  "both",
		"tags=red&tags=blue":             "both",
		"tags-any=red,blue":              "blue both red",
		"not-tags=red,blue":              "blue empty none red",
		"not-tags-any=red,blue":          "empty none",
		"tags=red&not-tags=blue":         "red",
		"tags-any=blue,x&not-tags=red":   "blue",
		"tags=":                          "empty",
		"tags=green":                     "",
		"tags-any=red,blue&name=both":    "both",
		"tags=red&limit=1&sort_key=name": "both",
	} {
		key := query
		if !strings.Contains(key, "sort_key") {
			key += "&sort_key=name"
		}
		got := c.get("/v2.0/networks?" + key + "&sort_dir=asc").list("networks")
		if names := column1(got, "name"); names != want {
			t.Errorf("%s: %s, want %s", query, names, want)
		}
	}
	c.get("/v2.0/security-group-rules?tags=red").fails(400, wire.TypeBadRequest, "['tags'] is invalid attribute for filtering")
}

func TestPortsAreTaggedWhenTheyAreMade(t *testing.T) {
	c := newCloud(t)
	net := c.network("n")
	one := c.port(net, `,"tags":["a","b"]`)
	if fmt.Sprint(one["tags"]) != "[a b]" {
		t.Errorf("%v", one["tags"])
	}
	body := fmt.Sprintf(`{"ports":[{"network_id":%q,"tags":["b"]},{"network_id":%q}]}`, net, net)
	if got := fmt.Sprint(c.do("POST", "/v2.0/ports", body).want(201).json()["ports"]); !strings.Contains(got, "tags:[b]") || !strings.Contains(got, "tags:[]") {
		t.Error(got)
	}
	if got := c.get("/v2.0/ports?tags=b").list("ports"); len(got) != 2 {
		t.Errorf("%d ports have b", len(got))
	}
	c.do("PUT", "/v2.0/ports/"+one["id"].(string), `{"port":{"name":"x"}}`).want(200)
	if got := c.get("/v2.0/ports/" + one["id"].(string)).one(); fmt.Sprint(got["tags"]) != "[a b]" {
		t.Errorf("a change of the name changed the tags: %v", got["tags"])
	}
	for _, bad := range []string{`"a"`, `null`, `[1]`, `["a","a"]`} {
		c.do("POST", "/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q,"tags":%s}}`, net, bad)).fails(400, "InvalidInput", "")
	}
}

// S22 (CVE-2024-53916): the tags of other projects' objects could be written,
// because the policy had rules of other names than were asked.
func TestS22TagsAreTheirObjectsOwners(t *testing.T) {
	c := newCloud(t)
	objects := c.taggables()
	for path, id := range objects {
		c.do("PUT", "/v2.0/"+path+"/"+id+"/tags/mine", "", as("alice")...).want(201)
	}
	before := c.db.Snapshot().Revision()
	requests := []struct{ method, below, body string }{
		{"GET", "", ""}, {"GET", "/mine", ""}, {"PUT", "", `{"tags":["theirs"]}`}, {"PUT", "/theirs", ""},
		{"POST", "", `{"tags":["theirs"]}`}, {"DELETE", "/mine", ""}, {"DELETE", "", ""},
	}
	for path, id := range objects {
		at := "/v2.0/" + path + "/" + id + "/tags"
		for _, r := range requests {
			for _, role := range []string{"member", "manager"} {
				c.do(r.method, at+r.below, r.body, "X-Project-Id", "mallory", "X-Roles", role).fails(404, "TagResourceNotFound", id)
			}
			if r.method != "GET" { // who may only read does not write
				c.do(r.method, at+r.below, r.body, "X-Project-Id", "alice", "X-Roles", "reader").fails(403, typePolicy, ":tags")
			}
		}
	}
	// A shared network is seen by all, and still tagged by its owner only.
	shared := c.post("/v2.0/networks", `{"network":{"shared":true}}`)["id"].(string)
	before = max(before, c.db.Snapshot().Revision())
	for _, r := range requests[2:] {
		c.do(r.method, "/v2.0/networks/"+shared+"/tags"+r.below, r.body, as("mallory")...).fails(403, typePolicy, "_network:tags")
	}
	if after := c.db.Snapshot().Revision(); after != before {
		t.Errorf("refused requests made %d revisions", after-before)
	}
}

// Each route of the tags asks a rule that the policy has; a server with another
// name for one does not start.
func TestS22EveryRouteOfTagsHasARuleOfThePolicy(t *testing.T) {
	policy, err := auth.NewPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, res := range resources(wideConfig()) {
		for _, r := range res.routes() {
			if !strings.Contains(r.path, "/tags") {
				continue
			}
			if found = append(found, res.called().path); !policy.Has(r.rule) || !strings.HasSuffix(r.rule, ":tags") {
				t.Errorf("%s %s asks %q", r.method, r.path, r.rule)
			}
		}
	}
	kinds := slices.Compact(slices.Sorted(slices.Values(found)))
	if len(kinds) < 7 || len(found) != 7*len(kinds) {
		t.Errorf("%d routes of %v", len(found), kinds)
	}
	misnamed := networks()
	misnamed.members = map[string]member{"tags": {routes: []route{{"PUT", "/{tag}", "update_networks_tag"}}}}
	if err := unruled(policy, []resource{misnamed}); err == nil || !strings.Contains(err.Error(), `PUT /v2.0/networks/{network_id}/tags/{tag} (rule "update_networks_tag")`) {
		t.Errorf("a route without a rule: %v", err)
	}
	if err := unruled(policy, resources(wideConfig())); err != nil {
		t.Error(err)
	}
}
