package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"neutrino/auth"
)

// documented is the served document and its schemas, ready to check answers.
func (c *cloud) documented() (map[string]any, func(many string) *jsonschema.Schema) {
	c.t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(c.get("/openapi.json").want(200).text))
	if err != nil {
		c.t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	const at = "http://localhost/openapi.json"
	if err := compiler.AddResource(at, doc); err != nil {
		c.t.Fatal(err)
	}
	return doc.(map[string]any), func(one string) *jsonschema.Schema {
		s, err := compiler.Compile(at + "#/components/schemas/" + one)
		if err != nil {
			c.t.Fatalf("schema of %s: %v", one, err)
		}
		return s
	}
}

// What the document says of each resource, the answers keep.
func TestAnswersAreAsTheDocumentSays(t *testing.T) {
	c := newCloud(t)
	c.host("h1", "nova")
	r := c.routed()
	inside := c.network("inside")
	c.subnet(inside, "10.9.0.0/24")
	c.post("/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"ip_version":6,"cidr":"2001:db8::/64","ipv6_ra_mode":"slaac","ipv6_address_mode":"slaac",
		"host_routes":[{"destination":"2001:db8:1::/64","nexthop":"2001:db8::9"}],"dns_nameservers":["2001:db8::53"]}}`, inside))
	c.port(inside, `,"allowed_address_pairs":[{"ip_address":"1.2.3.4"}],"extra_dhcp_opts":[{"opt_name":"mtu","opt_value":"1400"}]`)
	c.floating(r.external, "")
	_, schema := c.documented()
	for _, res := range c.h.(*api).order {
		n := res.called()
		a := c.get("/v2.0/" + n.path).want(200)
		rows := a.list(n.many)
		s := schema(n.one)
		for _, row := range rows {
			if err := s.Validate(plain(t, row)); err != nil {
				t.Errorf("%s: %v\n%v", n.one, err, row)
			}
		}
		t.Logf("%s: %d answers", n.many, len(rows))
	}
	failure := c.get("/v2.0/networks/nowhere")
	if err := schema("Error").Validate(plain(t, failure.json())); err != nil {
		t.Errorf("the body of a failure: %v", err)
	}
}

// plain is a value as the checker wants it.
func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each route is in the document with its rule, and each reference leads
// somewhere.
func TestTheDocumentIsWhole(t *testing.T) {
	c := newCloud(t)
	doc, _ := c.documented()
	if doc["openapi"] != "3.1.0" {
		t.Errorf("version %v", doc["openapi"])
	}
	paths := doc["paths"].(map[string]any)
	for _, res := range c.h.(*api).order {
		for _, r := range res.routes() {
			op, ok := paths[r.path].(map[string]any)[strings.ToLower(r.method)].(map[string]any)
			if !ok || op["x-policy-rule"] != r.rule {
				t.Errorf("%s %s: %v", r.method, r.path, op)
			}
		}
	}
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	ids := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if to, ok := v["$ref"].(string); ok {
				if _, ok := schemas[strings.TrimPrefix(to, "#/components/schemas/")]; !ok {
					t.Errorf("nothing is at %s", to)
				}
			}
			if id, ok := v["operationId"].(string); ok {
				if ids[id] {
					t.Errorf("two operations are called %s", id)
				}
				ids[id] = true
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(doc)
	if len(ids) < 100 {
		t.Errorf("only %d operations", len(ids))
	}
}

// A probe needs no token, and says why the server is not ready.
func TestProbesNeedNoToken(t *testing.T) {
	c := newCloud(t)
	c.h.(*api).opts.Auth = nobody{}
	c.get("/v2.0/networks").want(401)
	for _, path := range []string{"/", "/healthz", "/readyz", "/openapi.json"} {
		c.get(path).want(200)
	}
	c.h.(*api).opts.Ready = func(context.Context) error { return errors.New("the disk is full") }
	if a := c.get("/readyz").want(503); !strings.Contains(a.text, "the disk is full") {
		t.Errorf("not ready: %s", a.text)
	}
	c.get("/healthz").want(200)
	c.h.(*api).opts.Ready = nil
	c.h.(*api).opts.Notes = func() []string { return []string{"the policy is stale"} }
	if a := c.get("/readyz").want(200); a.text != `{"status":"ready","notes":["the policy is stale"]}` {
		t.Errorf("ready with a note: %s", a.text)
	}
}

// nobody is known to it.
type nobody struct{}

func (nobody) Authenticate(context.Context, http.Header) (auth.Identity, error) {
	return auth.Identity{}, &auth.Unauthorized{Challenge: `Keystone uri="http://127.0.0.1:5000"`, Reason: "no token"}
}
