package api

import (
	"fmt"
	"testing"
)

// A project's default group is there before anything is written of it: a list
// shows it and writes nothing, and the first request that needs it writes it.
func TestADefaultGroupIsThereBeforeItIsWritten(t *testing.T) {
	alice := []string{"X-Project-Id", "alice", "X-Roles", "member"}
	bob := []string{"X-Project-Id", "bob", "X-Roles", "member"}
	for _, row := range []struct {
		name string
		do   func(c *cloud, group map[string]any, rules []map[string]any)
	}{
		{"a rule is added", func(c *cloud, group map[string]any, _ []map[string]any) {
			c.post("/v2.0/security-group-rules", fmt.Sprintf(`{"security_group_rule":{"security_group_id":%q,"direction":"ingress",
				"protocol":"tcp","port_range_min":22,"port_range_max":22}}`, group["id"]), alice...)
		}},
		{"a rule is deleted", func(c *cloud, _ map[string]any, rules []map[string]any) {
			c.do("DELETE", "/v2.0/security-group-rules/"+rules[0]["id"].(string), "", alice...).want(204)
		}},
		{"its description is changed", func(c *cloud, group map[string]any, _ []map[string]any) {
			c.do("PUT", "/v2.0/security-groups/"+group["id"].(string), `{"security_group":{"description":"mine"}}`, alice...).want(200)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCloud(t)
			before := c.db.Snapshot().Revision()
			groups := c.get("/v2.0/security-groups?name=default&fields=id&fields=security_group_rules&limit=5", alice...).list("security_groups")
			if len(groups) != 1 || len(groups[0]["security_group_rules"].([]any)) != 4 {
				t.Fatalf("alice sees %v", groups)
			}
			rules := c.get("/v2.0/security-group-rules", alice...).list("security_group_rules")
			if len(rules) != 4 {
				t.Fatalf("alice sees the rules %v", rules)
			}
			path := "/v2.0/security-groups/" + groups[0]["id"].(string)
			c.get(path, alice...).want(200)
			c.get(path, bob...).want(404)
			if c.db.Snapshot().Revision() != before {
				t.Error("a GET wrote")
			}
			row.do(c, groups[0], rules)
			again := c.get("/v2.0/security-groups", alice...).list("security_groups")
			if len(again) != 1 || again[0]["id"] != groups[0]["id"] || c.db.Snapshot().Revision() == before {
				t.Errorf("afterwards alice sees %v", again)
			}
		})
	}
}
