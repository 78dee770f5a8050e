package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// letters are those of api.md section 2, by rule: who may. The letters
// are those of its legend; besides, "adv" is the role advsvc, "dpi" the role
// data_plane_integrator, "Mshared" a member of the project that it is shared
// with (section 1.9: POST by a reader is 403), "any" a reader of any project, "notnet" a device_owner
// that is not the network's, and "one" a share that is not with all projects.
const letters = `
2.1  create_network A M
     get_network A R S shared external adv
     update_network A M
     delete_network A M
     create_network:shared A
     create_network:router:external A
     create_network:is_default A
     create_network:port_security_enabled A M
     create_network:segments A
     create_network:provider:network_type A
     create_network:provider:physical_network A
     create_network:provider:segmentation_id A
     get_network:segments A
     get_network:provider:network_type A
     get_network:provider:physical_network A
     get_network:provider:segmentation_id A
     update_network:shared A
     update_network:router:external A
     update_network:is_default A
     update_network:port_security_enabled A M
     update_network:segments A
     update_network:provider:network_type A
     update_network:provider:physical_network A
     update_network:provider:segmentation_id A
     create_network:tags A M
     update_network:tags A M
     delete_network:tags A M
     get_network:tags A R shared external adv
2.2  create_subnet A NM
     get_subnet R shared A NR S
     update_subnet M A NM
     delete_subnet M A NM
     create_subnet:segment_id A
     get_subnet:segment_id A
     update_subnet:segment_id A
     create_subnet:service_types A NM
     update_subnet:service_types M A NM
     create_subnet:tags M A NM
     update_subnet:tags M A NM
     delete_subnet:tags M A NM
     get_subnet:tags R shared A NR
2.3  create_subnetpool A M
     get_subnetpool A R shared
     update_subnetpool A M
     delete_subnetpool A M
     onboard_network_subnets A M
     add_prefixes A M
     remove_prefixes A M
     create_subnetpool:is_default A
     update_subnetpool:is_default A
     create_subnetpool:shared A
     create_subnetpool:tags A M
     update_subnetpool:tags A M
     delete_subnetpool:tags A M
     get_subnetpool:tags A R shared
2.4  create_address_scope A M
     get_address_scope A R shared
     update_address_scope A M
     delete_address_scope A M
     create_address_scope:shared A
     update_address_scope:shared A
2.5  create_port A S NM Mshared
     get_port A S NR R
     update_port A S M
     delete_port A S NM M
     create_port:mac_address A S NM
     update_port:mac_address A S NG
     create_port:fixed_ips A S NM Mshared
     create_port:fixed_ips:subnet_id A S NM Mshared
     create_port:fixed_ips:ip_address A S NM
     update_port:fixed_ips A S NM
     update_port:fixed_ips:subnet_id A S NM Mshared
     update_port:fixed_ips:ip_address A S NM
     create_port:device_id A M S
     update_port:device_id A M S
     create_port:device_owner notnet A S NM
     update_port:device_owner notnet A S NM
     get_port:binding:vif_type A S
     get_port:binding:vif_details A S
     create_port:binding:vnic_type A M S
     update_port:binding:vnic_type A S M
     create_port:binding:host_id A S
     update_port:binding:host_id A S
     get_port:binding:host_id A S
     create_port:binding:profile A S
     update_port:binding:profile A S
     get_port:binding:profile A S
     create_port:allowed_address_pairs A NM S
     create_port:allowed_address_pairs:mac_address A NM S
     create_port:allowed_address_pairs:ip_address A NM S
     update_port:allowed_address_pairs A NM S
     update_port:allowed_address_pairs:mac_address A NM S
     update_port:allowed_address_pairs:ip_address A NM S
     create_port:port_security_enabled A S NM
     update_port:port_security_enabled A S NM
     update_port:data_plane_status A dpi
     get_port:resource_request A
     create_port:hints A
     update_port:hints A
     get_port:hints A
     create_port:trusted A
     update_port:trusted A
     get_port:trusted A
     create_port:tags A M adv
     update_port:tags A M adv
     get_port:tags adv A NR R
     delete_port:tags adv M A NM
2.6  create_router A M
     get_router A R
     update_router A M
     delete_router A M
     add_router_interface A M
     remove_router_interface A M
     add_extraroutes A M
     remove_extraroutes A M
     create_router:external_gateway_info A M
     update_router:external_gateway_info A M
     create_router:external_gateway_info:network_id A M
     update_router:external_gateway_info:network_id A M
     create_router:external_gateway_info:enable_snat A
     update_router:external_gateway_info:enable_snat A
     create_router:external_gateway_info:external_fixed_ips A
     update_router:external_gateway_info:external_fixed_ips A
     create_router:ha A
     update_router:ha A
     get_router:ha A
     create_router:distributed A
     update_router:distributed A
     get_router:distributed A
     create_router:enable_default_route_bfd A
     update_router:enable_default_route_bfd A
     create_router:enable_default_route_ecmp A
     update_router:enable_default_route_ecmp A
     create_router:tags A M
     update_router:tags A M
     delete_router:tags A M
     get_router:tags A R
2.7  create_floatingip A M
     get_floatingip A R
     update_floatingip A M
     delete_floatingip A M
     create_floatingip:floating_ip_address A G
     create_floatingip:tags A M
     update_floatingip:tags A M
     delete_floatingip:tags A M
     get_floatingip:tags A R
     get_floatingip_pool A R
2.8  create_floatingip_port_forwarding A PM
     get_floatingip_port_forwarding A PR
     update_floatingip_port_forwarding A PM
     delete_floatingip_port_forwarding A PM
2.11 create_security_group A M
     get_security_group A R shared
     update_security_group A M
     delete_security_group A M
     create_security_group:tags A M
     update_security_group:tags A M
     delete_security_group:tags A M
     get_security_group:tags A R shared
2.12 create_security_group_rule A SGM
     get_security_group_rule A SGR
     delete_security_group_rule A SGM
2.13 create_default_security_group_rule A
     get_default_security_group_rule any
     delete_default_security_group_rule A
2.16 create_rbac_policy A M
     get_rbac_policy A R
     update_rbac_policy A M
     delete_rbac_policy A M
     create_rbac_policy:target_tenant A one
     update_rbac_policy:target_tenant A one
     create_rbac_policy:target_project A one
     update_rbac_policy:target_project A one
2.21 create_agent A
     get_agent A
     update_agent A
     delete_agent A
2.23 create_metering_label A G
     get_metering_label A R
     delete_metering_label A G
     create_metering_label_rule A G
     get_metering_label_rule A R
     delete_metering_label_rule A G
2.26 create_port_binding A S
     get_port_binding A S
     update_port_binding A S
     delete_port_binding A S
     activate A S
2.27 get_quota A G
     update_quota A
     delete_quota A
2.29 get_dhcp-networks A
     create_dhcp-network A
     delete_dhcp-network A
     get_dhcp-agents A
     get_l3-routers A
     create_l3-router A
     update_l3-router A
     delete_l3-router A
     get_l3-agents A
2.30 get_availability_zone any
     get_service_provider any
     get_network_ip_availability A S
     get_auto_allocated_topology A R
     delete_auto_allocated_topology A M
`

// situation is one caller before one object.
type situation struct {
	role                         string
	owner, network, parent       bool // the caller's project has it
	shared, external, all, netty bool
}

// level is how high a role stands on the ladder.
func (s situation) level(atLeast string) bool {
	ladder := []string{"reader", "member", "manager", "admin"}
	return slices.Index(ladder, s.role) >= slices.Index(ladder, atLeast)
}

func (s situation) letter(t *testing.T, l string) bool {
	switch l {
	case "A":
		return s.role == "admin"
	case "S":
		return s.role == "service"
	case "adv":
		return s.role == "advsvc"
	case "dpi":
		return s.role == "data_plane_integrator"
	case "any":
		return s.level("reader")
	case "shared":
		return s.shared
	case "Mshared":
		return s.shared && s.level("member")
	case "external":
		return s.external
	case "notnet":
		return !s.netty
	case "one":
		return !s.all
	}
	role := map[byte]string{'R': "reader", 'M': "member", 'G': "manager"}[l[len(l)-1]]
	owns, known := map[string]bool{"": s.owner, "N": s.network, "P": s.parent, "SG": s.parent}[l[:len(l)-1]]
	if role == "" || !known {
		t.Fatalf("the letter %q is not of the legend", l)
	}
	return s.level(role) && owns
}

func (s situation) caller() Identity {
	who := Identity{ProjectID: "mine", UserID: "me"}
	if s.role != "" {
		who.Roles = Implied([]string{s.role})
	}
	return who
}

func (s situation) object() object {
	pick := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	return object{
		"project_id": pick(s.owner, "mine", "theirs"), "network:project_id": pick(s.network, "mine", "theirs"),
		"ext_parent:project_id": pick(s.parent, "mine", "theirs"), "security_group:project_id": pick(s.parent, "mine", "theirs"),
		"shared": fmt.Sprint(s.shared), "router:external": fmt.Sprint(s.external),
		"target_tenant": pick(s.all, "*", "theirs"), "device_owner": pick(s.netty, "network:dhcp", "compute:nova"),
	}
}

func situations() []situation {
	var out []situation
	for _, role := range []string{"", "reader", "member", "manager", "admin", "service", "advsvc", "data_plane_integrator"} {
		for bits := range 1 << 7 {
			on := func(i int) bool { return bits>>i&1 == 1 }
			out = append(out, situation{role, on(0), on(1), on(2), on(3), on(4), on(5), on(6)})
		}
	}
	return out
}

// Every rule decides as the reference's letters say, in every situation, and every
// rule that decides on requests has its line in the reference.
func TestTheDefaultsAreTheReference(t *testing.T) {
	p, err := NewPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	may := map[string][]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(letters), "\n") {
		words := strings.Fields(line)
		if words[0][0] == '2' {
			words = words[1:]
		}
		may[words[0]] = words[1:]
	}
	for _, r := range Defaults() {
		if _, there := may[r.Name]; there != (len(r.Operations) > 0) {
			t.Errorf("rule %s decides on %v, and in the reference it is %v", r.Name, r.Operations, may[r.Name])
		}
	}
	cases := 0
	for _, s := range situations() {
		j, o := p.For(s.caller()), s.object()
		for rule, who := range may {
			cases++
			want := slices.ContainsFunc(who, func(l string) bool { return s.letter(t, l) })
			if got := j.Allows(rule, o); got != want {
				t.Fatalf("%s for %+v: %v, want %v (%v)", rule, s, got, want, who)
			}
			if v, known := j.Decided(rule); known && v != want {
				t.Fatalf("%s for %+v: decided as %v without the object, want %v", rule, s, v, want)
			}
		}
	}
	t.Logf("%d rules, %d cases", len(may), cases)
}
