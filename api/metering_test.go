package api

import (
	"fmt"
	"strings"
	"testing"
)

func TestMeteringOnTheWire(t *testing.T) {
	c := newCloud(t)
	managing := func(project string) []string {
		return []string{"X-Project-Id", project, "X-Roles", "manager,member,reader"}
	}
	labels, rules := "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
	l := c.post(labels, `{"metering_label":{"name":"web","description":"what web sends"}}`, managing("red")...)
	if want := "description id name project_id shared tenant_id"; keys(l) != want || l["shared"] != false || l["tenant_id"] != "red" {
		t.Errorf("made %v", l)
	}
	id := l["id"].(string)
	rule := func(attributes string) string {
		return fmt.Sprintf(`{"metering_label_rule":{"metering_label_id":%q,%s}}`, id, attributes)
	}
	r := c.post(rules, rule(`"direction":"egress","remote_ip_prefix":"10.0.0.7/24"`), managing("red")...)
	if want := "destination_ip_prefix direction excluded id metering_label_id project_id remote_ip_prefix source_ip_prefix tenant_id"; keys(r) != want ||
		r["remote_ip_prefix"] != "10.0.0.0/24" || r["source_ip_prefix"] != nil || r["excluded"] != false {
		t.Errorf("made %v", r)
	}
	s := c.post(rules, rule(`"direction":"ingress","remote_ip_prefix":null,"source_ip_prefix":"192.0.2.0/24","destination_ip_prefix":"10.0.0.0/24","excluded":true`), managing("red")...)
	if s["remote_ip_prefix"] != nil || s["source_ip_prefix"] != "192.0.2.0/24" || s["destination_ip_prefix"] != "10.0.0.0/24" || s["excluded"] != true {
		t.Errorf("made %v", s)
	}
	for query, n := range map[string]int{"": 2, "?direction=ingress": 1, "?excluded=false": 1, "?remote_ip_prefix=10.0.0.0/24": 1, "?metering_label_id=" + id: 2,
		"?source_ip_prefix=192.0.2.0/24": 1, "?sort_key=remote_ip_prefix&sort_dir=desc&limit=1": 1} {
		if got := c.get(rules+query, managing("red")...).list("metering_label_rules"); len(got) != n {
			t.Errorf("%q lists %v", query, got)
		}
	}
	if got := c.get(labels+"?name=web&fields=id", managing("red")...).list("metering_labels"); len(got) != 1 || keys(got[0]) != "id" {
		t.Errorf("lists %v", got)
	}
	if got := c.get(labels+"/"+id+".json", managing("red")...).want(200).one(); got["name"] != "web" {
		t.Errorf("shows %v", got)
	}
	for body, want := range map[string]string{
		rule(`"direction":"egress","remote_ip_prefix":"10.0.0.0/25"`):                                                                                "409 MeteringLabelRuleOverlaps",
		rule(`"direction":"egress"`):                                                                                                                 "400 InvalidInput",
		rule(`"direction":"egress","remote_ip_prefix":"10.9.0.0/24","source_ip_prefix":"10.8.0.0/24"`):                                               "400 InvalidInput",
		rule(`"direction":"sideways","remote_ip_prefix":"10.9.0.0/24"`):                                                                              "400 HTTPBadRequest",
		rule(`"direction":"egress","remote_ip_prefix":"10.9.0.0 -j DROP"`):                                                                           "400 HTTPBadRequest",
		`{"metering_label_rule":{"metering_label_id":"00000000-0000-4000-8000-000000000000","direction":"egress","remote_ip_prefix":"10.9.0.0/24"}}`: "404 MeteringLabelNotFound",
	} {
		status, typ := 0, ""
		fmt.Sscanf(want, "%d %s", &status, &typ)
		c.do("POST", rules, body, managing("red")...).fails(status, typ, "")
	}
	c.do("POST", labels, `{"metering_label":{"shared":true}}`, managing("red")...).fails(403, "PolicyNotAuthorized", "shared")
	c.get(labels+"/"+id, managing("blue")...).fails(404, "MeteringLabelNotFound", id)
	c.do("POST", rules, rule(`"direction":"egress","remote_ip_prefix":"10.9.0.0/24"`), managing("blue")...).fails(404, "MeteringLabelNotFound", id)
	c.do("PUT", labels+"/"+id, `{"metering_label":{"name":"x"}}`, managing("red")...).want(405)
	c.get("/v2.0/metering").want(404)
	c.get("/v2.0/metering/other").want(404)
	c.do("DELETE", labels+"/"+id, "", managing("red")...).want(204)
	c.get(rules+"/"+r["id"].(string), managing("red")...).fails(404, "MeteringLabelRuleNotFound", "")
	if text := c.get("/v2.0/extensions").text; !strings.Contains(text, `"metering"`) || !strings.Contains(text, `"metering_source_and_destination_fields"`) {
		t.Error("the extensions are not listed")
	}
}
