package policytest

import (
	"fmt"
	"strings"

	"neutrino"
)

// item is one object of a scene that requests are sent to.
type item struct {
	resource string // in the table
	token    string // its id
	path     string
	on       string // path of the object that actions are sent to, where it is another
	fact     fact
}

// maker is one collection that objects are POSTed to.
type maker struct {
	resource, path string
	fact           func(caller) fact // of the new object
	parent         *parent
	hides          string // token of the parent
}

// scene is some objects, with how they are owned and shared, and what is asked
// about them.
type scene struct {
	name     string
	projects []string // of the callers
	build    func(*world)
	items    []item
	makers   []maker
	extra    []op
}

// sharing is one way in which others get at an object.
type sharing struct {
	name   string
	fields string // of the object
	rbac   string // the action of an RBAC policy for the project target
	fact   fact
}

const (
	asShared   = "access_as_shared"
	asExternal = "access_as_external"
)

func sharings() []sharing {
	return []sharing{
		{name: "private"},
		{name: "shared with all", fields: `,"shared":true`, fact: fact{shared: everyone}},
		{name: "shared with target", rbac: asShared, fact: fact{shared: target}},
	}
}

func networkSharings() []sharing {
	return append(sharings(),
		sharing{name: "external", fields: `,"router:external":true`, fact: fact{external: everyone}},
		sharing{name: "external for target", rbac: asExternal, fact: fact{external: target}})
}

// let shares an object that was just made.
func (w *world) let(s sharing, objectType, id string) {
	if s.rbac != "" {
		w.makes("policy", "/v2.0/rbac-policies", "rbac_policy",
			fmt.Sprintf(`"object_type":%q,"object_id":%q,"action":%q,"target_tenant":%q`, objectType, id, s.rbac, target))
	}
	w.shares[id] = s.fact
}

// network makes a network with a subnet of the same project.
func (w *world) network(name, project string, s sharing) {
	w.makes(name, "/v2.0/networks", "network", fmt.Sprintf(`"name":%q,"project_id":%q%s`, name, project, s.fields))
	w.let(s, "network", w.ids[name])
}

// subnet makes a subnet and remembers the first three bytes of its addresses.
func (w *world) subnet(name, network, project string) {
	w.ids["net24"] = strings.TrimSuffix(w.fill("<cidr>"), ".0/24")
	// The pool leaves the addresses that requests name.
	w.makes(name, "/v2.0/subnets", "subnet", fmt.Sprintf(`"network_id":"<%s>","project_id":%q,"ip_version":4,"cidr":"<net24>.0/24",
		"allocation_pools":[{"start":"<net24>.2","end":"<net24>.60"}]`, network, project))
}

// owned is the fact of an object of one project, shared in one way.
func owned(project string, s sharing) fact {
	f := s.fact
	f.owner = project
	return f
}

func ofCaller(c caller) fact { return fact{owner: c.project} }

func scenes() []scene {
	all := []scene{routing(), forwarding(), rbacPolicies(), scheduling(), metering(), quotas()}
	for _, s := range networkSharings() {
		all = append(all, networks(s), networksUsed(s))
		for _, network := range []string{owner, landlord} {
			all = append(all, ports(network, s), subnets(network, s))
		}
	}
	for _, s := range sharings() {
		all = append(all, groups(s), bindings(s),
			simple("subnetpool", "subnetpools", `"name":"p","prefixes":["10.0.0.0/8"]`, s),
			simple("address_scope", "address-scopes", `"name":"s","ip_version":4`, s))
	}
	return all
}

func networks(s sharing) scene {
	return scene{
		name: "network " + s.name, projects: []string{owner, other, target},
		build: func(w *world) { w.network("network", owner, s); w.subnet("subnet", "network", owner) },
		items: []item{
			{resource: "network", token: "network", path: "/v2.0/networks/<network>", fact: owned(owner, s)},
			{resource: "network_ip_availability", token: "network", path: "/v2.0/network-ip-availabilities/<network>", fact: owned(owner, s)},
		},
		makers: []maker{{resource: "network", path: "/v2.0/networks", fact: ofCaller}},
		extra: []op{judged("2.29 schedule: agents of a network", "GET", "/v2.0/networks/<network>/dhcp-agents", "",
			below(parent{fact: owned(owner, s), get: "A/R/S/shared/external"}, "A", false)).hiding("network")},
	}
}

// networksUsed is what others make of a network: gateways and floating IPs
// (api.md section 1.9: external via RBAC).
func networksUsed(s sharing) scene {
	net := parent{fact: owned(owner, s), get: "A/R/S/shared/external"}
	use := func(c caller) want {
		w := judgeCreate(ofCaller(c), nil, []string{"A/M"}, c)
		switch hidden := !net.sees(net.get, c); {
		case hidden && w.statuses[0] == 201:
			return want{[]int{404}, "3.5/3.6: unknown external network is 404", true}
		case hidden:
			return want{[]int{403, 404}, w.because, true}
		case s.fact.external == "" && w.statuses[0] == 201:
			return want{[]int{400}, "3.5/3.6: not an external network is 400", false}
		case s.fact.external == "":
			return want{[]int{400, 403}, w.because, false}
		}
		return w
	}
	return scene{
		name: "use of a network " + s.name, projects: []string{owner, other, target},
		build: func(w *world) {
			w.network("network", owner, s)
			w.subnet("subnet", "network", owner)
		},
		extra: []op{
			judged("2.7 floatingip POST", "POST", "/v2.0/floatingips", `{"floatingip":{"floating_network_id":"<network>"}}`, use).hiding("network"),
			judged("2.6 router external_gateway_info POST", "POST", "/v2.0/routers",
				`{"router":{"external_gateway_info":{"network_id":"<network>"}}}`, use).hiding("network"),
		},
	}
}

// below is the expectation for what is under a parent and has only letters of
// its own: what may not be done may be forbidden or absent.
func below(p parent, letters string, write bool) func(caller) want {
	return func(c caller) want {
		switch {
		case p.allows(letters, c, write):
			return want{[]int{200, 201, 204}, letters, false}
		case !p.sees(p.get, c):
			return want{[]int{403, 404}, "1.9: what is not visible does not exist; " + letters, true}
		}
		return want{[]int{403, 404}, "1.9: visible but not allowed; " + letters, false}
	}
}

func (w *world) onNetwork(network string, s sharing) {
	w.network("network", network, s)
	w.subnet("subnet", "network", owner)
}

func onNetwork(network string, s sharing) (fact, *parent) {
	f := owned(owner, s)
	f.over = network
	return f, &parent{fact: owned(network, s), get: "A/R/S/shared/external"}
}

func childOf(f fact) func(caller) fact {
	return func(c caller) fact {
		f.owner = c.project
		return f
	}
}

func subnets(network string, s sharing) scene {
	f, p := onNetwork(network, s)
	return scene{
		name: "subnet on " + s.name + " network of " + nameOf(network), projects: []string{owner, other, target, landlord},
		build:  func(w *world) { w.onNetwork(network, s) },
		items:  []item{{resource: "subnet", token: "subnet", path: "/v2.0/subnets/<subnet>", fact: f}},
		makers: []maker{{resource: "subnet", path: "/v2.0/subnets", fact: childOf(f), parent: p, hides: "network"}},
	}
}

func ports(network string, s sharing) scene {
	f, p := onNetwork(network, s)
	p.ports = true
	// A port is not shared with its network: only who is named sees it.
	return scene{
		name: "port on " + s.name + " network of " + nameOf(network), projects: []string{owner, other, target, landlord},
		build: func(w *world) {
			w.onNetwork(network, s)
			w.makes("port", "/v2.0/ports", "port", `"network_id":"<network>","project_id":"`+owner+`"`)
		},
		items:  []item{{resource: "port", token: "port", path: "/v2.0/ports/<port>", fact: f}},
		makers: []maker{{resource: "port", path: "/v2.0/ports", fact: childOf(f), parent: p, hides: "network"}},
	}
}

func bindings(s sharing) scene {
	f, _ := onNetwork(landlord, s)
	p := parent{fact: f, get: "A/S/NR/R"}
	compute := `"network_id":"<network>","device_owner":"compute:nova","device_id":"vm","binding:host_id":"net1","project_id":"` + owner + `"`
	line := func(method, path, body string) op {
		return judged("2.26 binding "+method, method, path, body, below(p, "A/S", method != "GET"))
	}
	return scene{
		name: "binding on " + s.name + " network", projects: []string{owner, other, target, landlord},
		build: func(w *world) {
			w.onNetwork(landlord, s)
			w.makes("port", "/v2.0/ports", "port", compute)
			w.makes("bare", "/v2.0/ports", "port", compute)
			w.admin("POST", w.fill("/v2.0/ports/<port>/bindings"), `{"binding":{"host":"net2"}}`)
		},
		extra: []op{
			line("GET", "/v2.0/ports/<port>/bindings", "").hiding("port").showingNothing("bindings"),
			line("GET", "/v2.0/ports/<port>/bindings/net2", "").hiding("port").or(405), // the reference names GET of the list only
			line("POST", "/v2.0/ports/<bare>/bindings", `{"binding":{"host":"net2"}}`).hiding("bare"),
			line("PUT", "/v2.0/ports/<port>/bindings/net2", `{"binding":{"vnic_type":"normal"}}`).hiding("port"),
			line("PUT", "/v2.0/ports/<port>/bindings/net2/activate", ``).hiding("port"),
			line("DELETE", "/v2.0/ports/<port>/bindings/net2", ``).hiding("port"),
			// Another port's binding is not below this one (failures.md S23).
			absent("binding below another port", "DELETE", "/v2.0/ports/<bare>/bindings/net2", ""),
			absent("binding below another port", "PUT", "/v2.0/ports/<bare>/bindings/net2/activate", ""),
		},
	}
}

// gateway makes an external network of the landlord's with a router of the
// owner's on it.
func (w *world) gateway() {
	external := networkSharings()[3]
	w.network("external", landlord, external)
	w.makes("outside", "/v2.0/subnets", "subnet",
		`"network_id":"<external>","ip_version":4,"cidr":"198.18.0.0/15","enable_dhcp":false,"project_id":"`+landlord+`"`)
	w.makes("router", "/v2.0/routers", "router", `"project_id":"`+owner+`","external_gateway_info":{"network_id":"<external>"}`)
	w.makes("wired", "/v2.0/routers", "router", `"project_id":"`+owner+`","external_gateway_info":{"network_id":"<external>"}`)
	w.network("network", owner, sharing{})
	w.subnet("free", "network", owner)
	w.subnet("attached", "network", owner)
	w.admin("PUT", w.fill("/v2.0/routers/<wired>/add_router_interface"), `{"subnet_id":"<attached>"}`)
}

func routing() scene {
	f := fact{owner: owner}
	return scene{
		name: "router", projects: []string{owner, other, target, landlord},
		build: func(w *world) {
			w.gateway()
			w.makes("floatingip", "/v2.0/floatingips", "floatingip", `"floating_network_id":"<external>","project_id":"`+owner+`"`)
		},
		items: []item{
			{resource: "router", token: "router", path: "/v2.0/routers/<router>", on: "wired", fact: f},
			{resource: "floatingip", token: "floatingip", path: "/v2.0/floatingips/<floatingip>", fact: f},
		},
		makers: []maker{
			{resource: "router", path: "/v2.0/routers", fact: ofCaller},
			{resource: "floatingip", path: "/v2.0/floatingips", fact: ofCaller},
		},
		extra: []op{judged("2.29 schedule: agents of a router", "GET", "/v2.0/routers/<router>/l3-agents", "",
			below(parent{fact: f, get: "A/R"}, "A", false)).hiding("router")},
	}
}

// forwarding has forwardings below two floating IPs of different projects, and
// a third floating IP without.
func forwarding() scene {
	f := fact{owner: owner, over: owner}
	own, second, foreign := "/v2.0/floatingips/<floatingip>/port_forwardings", "/v2.0/floatingips/<second>/port_forwardings", "/v2.0/floatingips/<foreign>/port_forwardings"
	forward := `"protocol":"tcp","external_port":<tcpport>,"internal_port":<tcpport>,"internal_port_id":"<inner>","internal_ip_address":"<inneraddress>"`
	send := `{"port_forwarding":{"description":"stolen"}}`
	s := scene{
		name: "port forwarding", projects: []string{owner, other, target},
		build: func(w *world) {
			w.gateway()
			port := w.makes("inner", "/v2.0/ports", "port", `"network_id":"<network>","fixed_ips":[{"subnet_id":"<attached>"}],"project_id":"`+owner+`"`)
			w.ids["inneraddress"] = port["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
			for name, project := range map[string]string{"floatingip": owner, "second": owner, "foreign": other} {
				w.makes(name, "/v2.0/floatingips", "floatingip", `"floating_network_id":"<external>","project_id":"`+project+`"`)
			}
			w.makes("port_forwarding", own, "port_forwarding", forward)
			w.makes("stranger", foreign, "port_forwarding", forward)
		},
		items: []item{{resource: "port_forwarding", token: "floatingip", path: own + "/<port_forwarding>", fact: f}},
		makers: []maker{{resource: "port_forwarding", path: own, hides: "floatingip",
			fact: func(c caller) fact { return fact{owner: c.project, over: owner} }, parent: &parent{fact: fact{owner: owner}, get: "A/R"}}},
	}
	list := func(path string) op {
		return judged("api.md 2.8 port_forwarding GET", "GET", path, "", below(parent{fact: f, get: "A/R"}, "A/PR", false)).
			showingNothing("port_forwardings")
	}
	elsewhere := list(second).hiding("second")
	elsewhere.empty = "port_forwardings"
	s.extra = append(s.extra, list(own).hiding("floatingip"), elsewhere)
	for _, path := range []string{second + "/<port_forwarding>", own + "/<stranger>", foreign + "/<port_forwarding>"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			body := ""
			if method == "PUT" {
				body = send
			}
			s.extra = append(s.extra, absent("2.8 port_forwarding below another floating IP", method, path, body))
		}
	}
	return s
}

func groups(s sharing) scene {
	f := owned(owner, s)
	ruleFact, alien := f, f // a group's share is no share of its rules: they are seen inside it
	ruleFact.over, alien.over, alien.owner = owner, owner, landlord
	rule := `"security_group_id":"<security_group>","direction":"ingress","protocol":"tcp","port_range_min":<tcpport>,"port_range_max":<tcpport>,"project_id":`
	return scene{
		name: "security group " + s.name, projects: []string{owner, other, target, landlord},
		build: func(w *world) {
			w.makes("security_group", "/v2.0/security-groups", "security_group", `"name":"g","project_id":"`+owner+`"`)
			switch {
			case s.rbac != "":
				w.let(s, "security_group", w.ids["security_group"])
			case s.fact.shared != "": // groups have no shared in a POST
				w.makes("policy", "/v2.0/rbac-policies", "rbac_policy",
					`"object_type":"security_group","object_id":"<security_group>","action":"access_as_shared","target_tenant":"*"`)
				w.shares[w.ids["security_group"]] = s.fact
			}
			w.makes("rule", "/v2.0/security-group-rules", "security_group_rule", rule+`"`+owner+`"`)
			w.makes("alien", "/v2.0/security-group-rules", "security_group_rule", rule+`"`+landlord+`"`)
		},
		items: []item{
			{resource: "security_group", token: "security_group", path: "/v2.0/security-groups/<security_group>", fact: f},
			{resource: "security_group_rule", token: "rule", path: "/v2.0/security-group-rules/<rule>", fact: ruleFact},
			// The group's owner decides, not who is named on the rule (3.4).
			{resource: "security_group_rule", token: "alien", path: "/v2.0/security-group-rules/<alien>", fact: alien},
		},
		makers: []maker{
			{resource: "security_group", path: "/v2.0/security-groups", fact: ofCaller},
			{resource: "security_group_rule", path: "/v2.0/security-group-rules", hides: "security_group",
				fact: func(c caller) fact { return fact{owner: c.project, over: owner} }, parent: &parent{fact: f, get: "A/R/shared"}},
		},
	}
}

// simple is a resource that has nothing below it and is shared by RBAC.
func simple(one, collection, fields string, s sharing) scene {
	path := "/v2.0/" + collection
	made := scene{
		name: one + " " + s.name, projects: []string{owner, other, target},
		build: func(w *world) {
			w.makes(one, path, one, fields+`,"project_id":"`+owner+`"`+s.fields)
			w.let(s, one, w.ids[one])
			w.network("network", owner, sharing{})
			w.subnet("subnet", "network", owner)
			w.network("common", landlord, sharings()[1])
			w.subnet("theirs", "common", landlord)
		},
		items:  []item{{resource: one, token: one, path: path + "/<" + one + ">", fact: owned(owner, s)}},
		makers: []maker{{resource: one, path: path, fact: ofCaller}},
	}
	if one == "subnetpool" {
		made.extra = []op{takingSubnets()}
	}
	return made
}

// takingSubnets puts the subnets of a network that is shared with all into
// somebody else's pool (failures.md S24).
func takingSubnets() op {
	o := judged("api.md 2.3 subnetpool !onboard_network_subnets of a foreign shared network", "PUT",
		"/v2.0/subnetpools/<subnetpool>/onboard_network_subnets", `{"network_id":"<common>"}`, func(c caller) want {
			if c.has("admin") {
				return want{[]int{200}, "2.3: A/M", false}
			}
			return want{[]int{400, 403, 404}, "failures.md S24: the network's owner only", false}
		})
	o.attribute = "onboard"
	return o.or(400, 409)
}

func rbacPolicies() scene {
	shared := parent{fact: fact{owner: owner, shared: target}, get: "A/R/S/shared/external"}
	// api.md 2.16: an object that is not the caller's is 400, as an unknown one is.
	share := func(c caller) want {
		switch {
		case c.has("admin"), c.has("member") && c.project == owner:
			return want{[]int{201}, "2.16 c:A/M", false}
		case !shared.sees(shared.get, c):
			return want{[]int{400, 403, 404}, "2.16: unknown object_id is 400", true}
		}
		return want{[]int{400, 403, 404}, "2.16: only the object's owner shares it", false}
	}
	body := `{"rbac_policy":{"object_type":"network","object_id":"<network>","action":"access_as_shared","target_tenant":"<somebody>"}}`
	wild := `{"rbac_policy":{"object_type":"network","object_id":"<network>","action":"access_as_shared","target_tenant":"*"}}`
	return scene{
		name: "rbac policy", projects: []string{owner, other, target},
		build: func(w *world) {
			w.network("network", owner, sharing{})
			w.makes("rbac_policy", "/v2.0/rbac-policies", "rbac_policy",
				`"object_type":"network","object_id":"<network>","action":"access_as_shared","target_tenant":"`+target+`","project_id":"`+owner+`"`)
			w.shares[w.ids["network"]] = shared.fact
		},
		items: []item{{resource: "rbac_policy", token: "rbac_policy", path: "/v2.0/rbac-policies/<rbac_policy>", fact: fact{owner: owner}}},
		extra: []op{
			judged("2.16 rbac_policy POST", "POST", "/v2.0/rbac-policies", body, share).hiding("network"),
			judged("2.16 rbac_policy target_tenant=wildcard POST", "POST", "/v2.0/rbac-policies", wild, func(c caller) want {
				if c.has("admin") {
					return want{[]int{201}, "c:A/target≠*", false}
				}
				if w := share(c); w.statuses[0] != 201 {
					return w
				}
				return want{[]int{403}, "c:A/target≠*", false}
			}),
		},
	}
}

// scheduling is the agents and what they serve. To others than admins agents do
// not exist.
func scheduling() scene {
	p := parent{get: "A"}
	line := func(method, path, body string) op {
		return judged("2.29 schedule "+method, method, path, body, below(p, "A", method != "GET"))
	}
	return scene{
		name: "agent", projects: []string{owner, other, target},
		build: func(w *world) {
			w.register()
			w.gateway()
			w.ids["agent"] = w.agent(neutrino.AgentOVS, "net2")
			w.ids["dhcpagent"], w.ids["l3agent"] = w.agent(neutrino.AgentDHCP, "net1"), w.agent(neutrino.AgentL3, "net1")
			for _, host := range []string{"net1", "net2"} { // wherever the scheduler put them: to the first alone
				w.send(administrator(), "DELETE", "/v2.0/agents/"+w.agent(neutrino.AgentDHCP, host)+"/dhcp-networks/"+w.ids["network"], "")
				w.send(administrator(), "DELETE", "/v2.0/agents/"+w.agent(neutrino.AgentL3, host)+"/l3-routers/"+w.ids["wired"], "")
			}
			w.ids["host1"], w.ids["host2"] = w.agent(neutrino.AgentDHCP, "net2"), w.agent(neutrino.AgentL3, "net2")
		},
		items: []item{{resource: "agent", token: "agent", path: "/v2.0/agents/<agent>"}},
		extra: []op{
			line("GET", "/v2.0/agents/<dhcpagent>/dhcp-networks", "").hiding("dhcpagent").showingNothing("networks"),
			line("GET", "/v2.0/agents/<l3agent>/l3-routers", "").hiding("l3agent").showingNothing("routers"),
			line("POST", "/v2.0/agents/<dhcpagent>/dhcp-networks", `{"network_id":"<network>"}`).hiding("dhcpagent").or(409),
			line("POST", "/v2.0/agents/<l3agent>/l3-routers", `{"router_id":"<wired>"}`).hiding("l3agent").or(409),
			line("DELETE", "/v2.0/agents/<dhcpagent>/dhcp-networks/<network>", "").hiding("dhcpagent").or(409),
			line("DELETE", "/v2.0/agents/<l3agent>/l3-routers/<wired>", "").hiding("l3agent").or(409),
		},
	}
}

func metering() scene {
	f := fact{owner: owner}
	labels, rules := "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
	return scene{
		name: "metering", projects: []string{owner, other, target},
		build: func(w *world) {
			w.makes("metering_label", labels, "metering_label", `"name":"m","project_id":"`+owner+`"`)
			w.makes("metering_label_rule", rules, "metering_label_rule",
				`"metering_label_id":"<metering_label>","direction":"ingress","remote_ip_prefix":"<cidr>","project_id":"`+owner+`"`)
		},
		items: []item{
			{resource: "metering_label", token: "metering_label", path: labels + "/<metering_label>", fact: f},
			{resource: "metering_label_rule", token: "metering_label_rule", path: rules + "/<metering_label_rule>", fact: f},
		},
		makers: []maker{{resource: "metering_label", path: labels, fact: ofCaller}},
		// A rule belongs to a label that its maker may change, not just to anyone's.
		extra: []op{judged("api.md 2.23 metering_label_rule POST", "POST", rules,
			`{"metering_label_rule":{"metering_label_id":"<metering_label>","direction":"egress","remote_ip_prefix":"<cidr>"}}`,
			below(parent{fact: f, get: "A/R"}, "A/G", true)).hiding("metering_label")},
	}
}

// quotas belong to the project in the path; others than admins are refused, not
// told that it does not exist (api.md section 2.27).
func quotas() scene {
	f := fact{owner: owner}
	line := func(method, path, body, letters string) op {
		return judged("2.27 quota "+method, method, path, body, func(c caller) want {
			if f.allows(letters, c, method != "GET") {
				return want{[]int{200, 204}, letters, false}
			}
			return want{[]int{403}, "2.27: others 403; " + letters, false}
		})
	}
	at := "/v2.0/quotas/" + owner
	return scene{
		name: "quota", projects: []string{owner, other, target},
		build: func(w *world) { w.admin("PUT", at, `{"quota":{"network":77}}`) },
		extra: []op{
			line("GET", "/v2.0/quotas", "", "A"),
			line("GET", at, "", "A/own"),
			line("GET", at+"/default", "", "A/own"),
			line("GET", at+"/details", "", "A/own"),
			line("GET", at+"/details.json", "", "A/own"),
			line("GET", "/v2.0/quotas/tenant", "", "any"),
			line("GET", "/v2.0/quotas/project", "", "any"),
			line("PUT", at, `{"quota":{"network":78}}`, "A"),
			line("DELETE", at, "", "A"),
			judged("2.27 quota POST", "POST", "/v2.0/quotas", `{"quota":{}}`, func(caller) want {
				return want{[]int{501}, "2.27: POST 501", false}
			}),
		},
	}
}
