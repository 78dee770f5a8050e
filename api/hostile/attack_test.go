package hostile

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// wrapped is a body of one object with one attribute replaced.
func wrapped(one string, body map[string]any, name string, value json.RawMessage) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{%q:{`, one)
	for _, key := range slices.Sorted(maps.Keys(body)) {
		if key != name {
			text, err := json.Marshal(body[key])
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(&b, "%q:%s,", key, text)
		}
	}
	fmt.Fprintf(&b, "%q:%s}}", name, value)
	return b.String()
}

var only = flag.String("only", "", "attack this noun only, for a look")

// count is what was sent and what became of it.
type count struct {
	sent, accepted int
	skipped        int
	answers        map[int]int
}

// Every attribute of every noun gets every value of the catalogue, in a POST and
// in a PUT, from an administrator and from a member. What is accepted is planned
// for the hosts that it concerns, and the plan is one that they take.
func TestEveryAttributeTakesEveryValueOrRefusesIt(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.furnishMore()
	total := count{answers: map[int]int{}}
	plans := newJudge(t)
	for _, c := range w.registry().collections {
		if *only != "" && *only != c.one {
			continue
		}
		for _, who := range []caller{admin(), member()} {
			attack := attack{w, c, who, plans, &total}
			attack.posts()
			attack.puts()
		}
		plans.look(w, c.one)
	}
	plans.put()
	t.Logf("%d requests, %d accepted, answers %v; %d plans looked at, %d rules, %d sets, %d lines of dnsmasq, %d flows",
		total.sent, total.accepted, total.answers, plans.looked, len(plans.rules), len(plans.sets), len(plans.options)+len(plans.clients), len(plans.flows))
	if *only == "" && !testing.Short() && (total.sent < 20_000 || total.accepted < 500 || len(plans.rules) < 100) {
		t.Error("this proves little")
	}
}

// furnishMore makes what only some nouns need.
func (w *world) furnishMore() {
	if a := w.send(admin(), "POST", "/v2.0/metering/metering-labels", `{"metering_label":{"name":"l","project_id":"`+mine+`"}}`); a.status == 201 {
		w.ids["label"] = a.one()["id"].(string)
	}
	vm := w.must(admin(), "GET", "/v2.0/ports/"+w.ids["vm"], "").one()
	w.ids["vm address"] = address(vm)
}

// attack is the requests about one noun from one caller.
type attack struct {
	w     *world
	c     collection
	who   caller
	plans *judge
	total *count
}

// values are the catalogue, and from a member what an attribute's own form can
// hold: large ones cost the same whoever sends them.
func (a attack) values(name string) []json.RawMessage {
	values := slices.Clone(catalogue())
	switch {
	case a.who != member():
		values = append(values, large()...)
	case !isPlain(name):
		values = append(values, a.w.forms(name)...)
	}
	if testing.Short() { // every 41st, so that each attribute takes others
		return slices.DeleteFunc(values, func(json.RawMessage) bool { a.total.skipped++; return a.total.skipped%41 != 0 })
	}
	return values
}

func (a attack) note(got answer) bool {
	a.total.sent++
	a.total.answers[got.status]++
	if got.status < 300 {
		a.total.accepted++
	}
	return got.status < 300
}

// posts sends a POST for each value of each attribute; what was made is bound to
// a host where that can be, looked at and deleted.
func (a attack) posts() {
	path := a.w.fill(a.c.path)
	for _, name := range append(a.c.create, canary+"\n") {
		for _, value := range a.values(name) {
			got := a.w.checked(a.who, "POST", path, wrapped(a.c.one, a.w.body(a.c.one), name, value))
			if !a.note(got) {
				continue
			}
			object := got.one()
			id := path + "/" + fmt.Sprint(object[a.key()])
			if a.c.one == "port" && object["binding:host_id"] != network {
				a.w.send(admin(), "PUT", id, `{"port":{"binding:host_id":"`+compute+`"}}`)
			}
			if a.c.one == "router" {
				a.w.send(admin(), "PUT", id+"/add_router_interface", `{"subnet_id":"`+a.w.ids["subnet"]+`"}`)
			}
			a.plans.look(a.w, fmt.Sprintf("POST %s %s=%.200s", a.c.one, name, value))
			if gone := a.w.checked(admin(), "DELETE", id, ""); gone.status == 409 {
				a.clear(id, object)
			}
		}
	}
}

// key is the attribute that an item's path ends with.
func (a attack) key() string {
	if a.c.one == "binding" {
		return "host"
	}
	return "id"
}

// clear deletes an object that something else holds.
func (a attack) clear(id string, object map[string]any) {
	if a.c.one == "router" {
		ports := a.w.send(admin(), "GET", "/v2.0/ports?device_id="+fmt.Sprint(object["id"]), "")
		var list struct{ Ports []struct{ ID string } }
		if json.Unmarshal([]byte(ports.text), &list) == nil {
			for _, p := range list.Ports {
				a.w.send(admin(), "PUT", id+"/remove_router_interface", `{"port_id":"`+p.ID+`"}`)
			}
		}
	}
	a.w.send(admin(), "DELETE", id, "")
}

// puts sends a PUT for each value of each attribute, to one object for each
// attribute.
func (a attack) puts() {
	path := a.w.fill(a.c.path)
	for _, name := range a.c.put {
		id := a.object(path, name)
		if id == "" {
			continue
		}
		for _, value := range a.values(name) {
			got := a.w.checked(a.who, "PUT", id, wrapped(a.c.one, nil, name, value))
			if a.note(got) {
				a.plans.look(a.w, fmt.Sprintf("PUT %s %s=%.200s", a.c.one, name, value))
			}
		}
		if a.c.one == "agent" {
			a.w.send(admin(), "PUT", id, `{"agent":{"admin_state_up":true}}`)
			continue
		}
		a.w.send(admin(), "DELETE", id, "")
	}
}

// object makes what the PUTs for an attribute are sent to.
func (a attack) object(path, name string) string {
	switch a.c.one {
	case "agent":
		return path + "/" + a.w.agent(network)
	case "binding":
		a.w.send(admin(), "POST", path, `{"binding":{"host":"`+network+`"}}`)
		return path + "/" + network
	}
	body := a.w.body(a.c.one)
	if a.c.one == "port" {
		body["binding:host_id"], body["device_owner"], body["device_id"] = compute, "compute:nova", "x"
	}
	if !slices.Contains([]string{"port_forwarding", "binding"}, a.c.one) {
		body["project_id"] = mine
	}
	text, err := json.Marshal(map[string]any{a.c.one: body})
	if err != nil {
		panic(err)
	}
	got := a.w.send(admin(), "POST", path, string(text))
	if got.status != 201 {
		a.w.t.Errorf("no object of %s for %s: %d %s", a.c.one, name, got.status, got.text)
		return ""
	}
	return path + "/" + fmt.Sprint(got.one()["id"])
}

// agent is the id of some agent on a host.
func (w *world) agent(host string) string {
	var list struct{ Agents []struct{ ID string } }
	a := w.must(admin(), "GET", "/v2.0/agents?host="+host, "")
	if err := json.Unmarshal([]byte(a.text), &list); err != nil || len(list.Agents) == 0 {
		w.t.Fatalf("no agent on %s: %s", host, a.text)
	}
	return list.Agents[0].ID
}

// Every filter of every list gets every text, and so does everything else that
// a query can hold; and every name that can stand in a path.
func TestEveryQueryAndEveryPathIsAnsweredOrRefused(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.furnishMore()
	values := slices.Concat(texts(), addresses(), words(), []string{strings.Repeat("x", 1<<16), "subnet_id=x", "ip_address=" + canary, "ip_address_substr=1", "a=b=c", "=", "2026-01-01", "99999999999999999999"})
	if testing.Short() {
		values = []string{texts()[0], addresses()[0], words()[0], "ip_address=" + canary}
	}
	r := w.registry()
	answers := map[int]int{}
	for _, c := range r.collections {
		for _, name := range append(c.filters, "limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields", "tags", "not-tags-any", "fixed_ips", canary) {
			for _, v := range values {
				answers[w.checked(member(), "GET", w.fill(c.path)+"?"+url.Values{name: {v}}.Encode(), "").status]++
			}
			for _, query := range []string{"%", "%zz", ";", "&&", "=", name, name + "=%ff", name + "=%00", name + "[]=x", name + "=1&" + name + "=2", strings.Repeat(name+"=x&", 2000)} {
				answers[w.checked(admin(), "GET", w.fill(c.path)+"?"+query, "").status]++
			}
		}
	}
	for _, route := range r.routes {
		for _, v := range append(texts(), addresses()...) {
			path := inPath(route[1], url.PathEscape(v), w.ids["vm"])
			for _, body := range []string{"", `{"subnet_id":"x","port_id":"x","tags":["x"],"router_id":"x","network_id":"x"}`} {
				answers[w.checked(admin(), route[0], path, body).status]++
			}
		}
	}
	t.Logf("answers: %v", answers)
	for _, status := range []int{200, 400, 404} {
		if answers[status] == 0 {
			t.Errorf("no answer %d: this proves little", status)
		}
	}
}

// inPath puts a value into each place of a path but the first of a longer one,
// which gets an id that exists.
func inPath(path, value, id string) string {
	parts := strings.Split(path, "/")
	places := strings.Count(path, "{")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			places--
			parts[i] = value
			if places > 0 {
				parts[i] = id
			}
		}
	}
	return strings.Join(parts, "/")
}

// Requests that are no create and no update take keys of their own.
func TestEveryActionTakesEveryValueOrRefusesIt(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.furnishMore()
	plans := newJudge(t)
	agent := w.agent(network)
	sent := 0
	for _, a := range []struct{ method, path, form string }{
		{"PUT", "/v2.0/routers/<router>/add_router_interface", `{"subnet_id":%s}`}, {"PUT", "/v2.0/routers/<router>/add_router_interface", `{"port_id":%s}`},
		{"PUT", "/v2.0/routers/<router>/remove_router_interface", `{"subnet_id":%s}`}, {"PUT", "/v2.0/routers/<router>/remove_router_interface", `{"port_id":%s}`},
		{"PUT", "/v2.0/routers/<router>/add_extraroutes", `{"router":{"routes":%s}}`}, {"PUT", "/v2.0/routers/<router>/remove_extraroutes", `{"router":{"routes":%s}}`},
		{"PUT", "/v2.0/networks/<net>/tags", `{"tags":%s}`}, {"POST", "/v2.0/networks/<net>/tags", `{"tags":%s}`}, {"PUT", "/v2.0/ports/<vm>/tags", `%s`},
		{"PUT", "/v2.0/quotas/" + mine, `{"quota":{"port":%s}}`}, {"PUT", "/v2.0/quotas/" + mine, `{"quota":%s}`}, {"PUT", "/v2.0/quotas/" + mine, `{"quota":{%[1]s:1}}`},
		{"PUT", "/v2.0/subnetpools/<pool>/add_prefixes", `{"prefixes":%s}`}, {"PUT", "/v2.0/subnetpools/<pool>/remove_prefixes", `{"prefixes":%s}`},
		{"PUT", "/v2.0/subnetpools/<pool>/onboard_network_subnets", `{"network_id":%s}`},
		{"POST", "/v2.0/agents/" + agent + "/dhcp-networks", `{"network_id":%s}`}, {"POST", "/v2.0/agents/" + agent + "/l3-routers", `{"router_id":%s}`},
	} {
		for _, who := range []caller{admin(), member()} {
			values := append(slices.Clone(catalogue()), raw(quoted(w.ids["router"])), raw(quoted(w.ids["net"])))
			if strings.Contains(a.form, "routes") {
				values = append(values, w.forms("routes")...)
			}
			for _, v := range values {
				got := w.checked(who, a.method, w.fill(a.path), fmt.Sprintf(a.form, v))
				if sent++; got.status < 300 {
					plans.look(w, a.method+" "+a.path+string(v[:min(len(v), 100)]))
				}
			}
		}
	}
	plans.put()
	t.Logf("%d requests, %d plans looked at", sent, plans.looked)
	if plans.looked < 10 {
		t.Error("too few were accepted: this proves little")
	}
}
