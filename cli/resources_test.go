package cli

import (
	"strings"
	"testing"
)

// says runs a line and wants these words in its output.
func (c *cloud) says(line string, wanted ...string) {
	c.t.Helper()
	out := c.run(line)
	for _, w := range wanted {
		if !strings.Contains(out, w) {
			c.t.Errorf("%s prints\n%s\nwithout %q", line, out, w)
		}
	}
}

func TestPoolsScopesAndWhatIsTakenFromThem(t *testing.T) {
	c := web(t)
	c.run("neutrino address scope create inside --ip-version 4 --share")
	c.says("neutrino address scope list --ip-version 4 --share -f value", " inside 4 True ")
	c.run("neutrino address scope set inside --name within")
	pool := "neutrino subnet pool create p4 --pool-prefix 10.20.0.0/16 --pool-prefix 10.30.0.0/16 --default-prefix-length 26 --min-prefix-length 20" +
		" --max-prefix-length 28 --address-scope within --share --default --default-quota 4096 --description all --tag gold"
	c.says(pool+" -f json", `"default_quota": 4096`, `"is_default": true`, `"shared": true`, `"tags": [`, `"default_prefixlen": 26`)
	c.run("neutrino subnet pool set p4 --no-default --pool-prefix 10.40.0.0/16 --max-prefix-length 29 --name four --tag new")
	c.says("neutrino subnet pool show four -f json", `"10.40.0.0/16"`, `"10.20.0.0/16"`, `"is_default": false`, `"max_prefixlen": 29`, `"new"`)
	c.says("neutrino subnet pool list --long --no-default --address-scope within --share --tags gold,new -f value -c Name -c 'Default Prefix Length'", "four 26\n")
	c.run("neutrino subnet pool unset four --tag gold")
	c.says("neutrino subnet pool list --not-tags gold -f value -c Name", "four\n")
	c.run("neutrino subnet pool set four --no-address-scope --default")

	c.run("neutrino network create apps")
	c.says("neutrino subnet create a --network apps --subnet-pool four --prefix-length 27 --service-type compute:nova --tag t -f json",
		`/27"`, `"compute:nova"`, `"t"`)
	c.says("neutrino subnet create b --network apps --use-default-subnet-pool --ip-version 4 -f value -c cidr", "/26\n")
	c.says("neutrino subnet list --subnet-pool four --service-type compute:nova -f value -c Name", "a\n")
	if out := c.run("neutrino subnet list --network web --service-type compute:nova -f value"); out != "" {
		t.Errorf("subnets of no service type are listed: %s", out)
	}
	c.says("neutrino subnet list --subnet-pool four --long -f value -c Name -c 'Service Types'", "a ['compute:nova']\n")
	c.run("neutrino subnet set a --service-type network:dhcp")
	c.run("neutrino subnet unset a --service-type compute:nova")
	c.says("neutrino subnet show a -f value -c service_types", "['network:dhcp']\n")
	c.run("neutrino subnet pool create wide --pool-prefix 10.128.0.0/16")
	c.run("neutrino network create old")
	c.run("neutrino subnet create old-4 --network old --subnet-range 10.140.0.0/24")
	c.run("neutrino network onboard subnets old wide")
	c.says("neutrino subnet pool show wide -f value -c prefixes", "'10.140.0.0/24'")
	c.refused("neutrino subnet pool delete four", "existing allocations. (HTTP 400 SubnetPoolDeleteError) (Request-ID: req-")
	c.refused("neutrino subnet pool create nothing", "--pool-prefix is required")
	c.run("neutrino subnet delete a b")
	c.run("neutrino subnet pool delete four")
	c.run("neutrino address scope delete within")
}

func TestPoliciesNameTheirObject(t *testing.T) {
	c := web(t)
	c.run("neutrino subnet pool create p4 --pool-prefix 10.20.0.0/16")
	c.run("neutrino address scope create inside")
	for _, object := range [][2]string{{"web", "network"}, {"www", "security_group"}, {"p4", "subnetpool"}, {"inside", "address_scope"}} {
		id := c.value("neutrino network rbac create "+object[0]+" --type "+object[1]+" --action access_as_shared --target-project blue", "id")
		c.says("neutrino network rbac list --long --type "+object[1]+" -f value", id+" "+object[1]+" ", " access_as_shared\n")
		c.run("neutrino network rbac set " + id + " --target-project red")
		c.says("neutrino network rbac show "+id+" -f json", `"target_project_id": "red"`)
		c.run("neutrino network rbac delete " + id)
	}
	c.says("neutrino network rbac create web --type network --action access_as_external --target-all-projects -f json", `"target_project_id": "*"`)
	c.says("neutrino network rbac list --action access_as_external -f value", " network ")
	c.refused("neutrino network rbac create nope --type network --action access_as_shared --target-all-projects", "No Network found for nope")
	c.refused("neutrino network rbac create web --type network --action access_as_shared", "--target-project or --target-all-projects is required")
	c.refused("neutrino network rbac create web --type netwrk --action access_as_shared --target-all-projects", "did you mean network?")
	c.refused("neutrino network rbac create web --type network --action access_as_shared --target-all-projects --target-project blue", "exclude each other")
}

func TestQuotasAreSetShownAndForgotten(t *testing.T) {
	c := web(t)
	c.run("neutrino quota set blue --networks 20 --subnets 21 --ports -1 --routers 3 --floating-ips 4 --secgroups 5 --secgroup-rules 6 --subnetpools 7 --rbac-policies 8")
	c.says("neutrino quota show blue -f shell", `networks="20"`, `ports="-1"`, `secgroup_rules="6"`, `rbac_policies="8"`, `project="blue"`)
	c.says("neutrino quota list -f csv --quote none", "Project ID,Floating IPs,Networks,", "\nblue,4,20,-1,8,3,5,6,21,7\n")
	c.says("neutrino quota show blue --default -f json", `"networks": 100`)
	c.refused("neutrino quota set default --networks 1 --check-limit", "(HTTP 4")
	c.run("neutrino quota set default --networks 1 --force")
	c.refused("neutrino network create more", "(HTTP 409 OverQuota)")
	c.refused("neutrino quota set blue --networks 1 --force --check-limit", "exclude each other")
	c.refused("neutrino quota set blue --networks many", "this is no whole number")
	c.run("neutrino quota delete blue")
	c.says("neutrino quota list -f value -c 'Project ID'", "default\n")
}

func TestTagsOfEveryKindThatHasThem(t *testing.T) {
	c := web(t)
	c.run("neutrino floating ip create public --tag red --description door")
	for kind, name := range map[string]string{"network": "web", "subnet": "web-v4", "port": "web-1", "router": "r1", "security group": "www",
		"floating ip": c.value("neutrino floating ip list", "Floating IP Address")} {
		k := "neutrino " + kind
		c.run(k + " set " + name + " --no-tag --tag red --tag blue")
		c.says(k+" show "+name+" -f json --noindent -c tags", `["red","blue"]`)
		c.says(k+" list --tags red,blue -f value -c ID", "-")
		c.says(k+" list --any-tags red,green -f value -c ID", "-")
		for _, none := range []string{"--tags red,green", "--any-tags green", "--not-tags red,blue --tags red", "--not-any-tags blue --tags red"} {
			if out := c.run(k + " list -f value -c ID " + none); out != "" {
				t.Errorf("%s list %s prints %s", kind, none, out)
			}
		}
		c.run(k + " unset " + name + " --tag red")
		c.says(k+" show "+name+" -f json --noindent -c tags", `["blue"]`)
		c.run(k + " unset " + name + " --all-tag")
		c.says(k+" show "+name+" -f json --noindent -c tags", `[]`)
	}
}

func TestNamesOptionsAndZonesOfNetworksAndPorts(t *testing.T) {
	c, _ := operated(t)
	c.says("neutrino network create web --dns-domain web.example. --share --availability-zone-hint nova --tag a -f json",
		`"web.example."`, `"shared": true`, `"nova"`)
	c.says("neutrino network create seg --provider-network-type vlan --provider-physical-network physnet1 --provider-segment 77 --default --external -f json",
		`"provider:segmentation_id": 77`, `"is_default": true`, `"router:external": true`)
	c.run("neutrino subnet create web-v4 --network web --subnet-range 10.1.0.0/24")
	c.says("neutrino port create p --network web --dns-name host --extra-dhcp-option name=tftp-server,value=10.1.0.9,ip-version=4"+
		" --allowed-address ip-address=10.1.0.77,mac-address=fa:16:3e:00:00:77 --host compute1 --device d --device-owner compute:nova -f json",
		`"dns_name": "host"`, `"tftp-server"`, `"10.1.0.77"`, `"binding_host_id": "compute1"`)
	c.run("neutrino port set p --dns-name other --dns-domain x.example. --extra-dhcp-option name=bootfile-name,value=b --extra-property type=str,name=description,value=extra")
	c.says("neutrino port show p -f json", `"dns_name": "other"`, `"bootfile-name"`, `"description": "extra"`)
	c.refused("neutrino port set p --extra-property type=int,name=mtu,value=x", "this is no whole number")
	c.refused("neutrino port set p --extra-property name=colour,value=red", "colour")
	c.run("neutrino security group create loose --stateless")
	c.says("neutrino security group show loose -f value -c stateful", "False\n")
	c.run("neutrino security group set loose --stateful")
	c.says("neutrino security group show loose -f value -c stateful", "True\n")
	c.says("neutrino availability zone list --network -f value", "nova available\n")
	c.says("neutrino availability zone list --long -f value", "network", "router")
	c.says("neutrino ip availability list --ip-version 4 -f value -c 'Network Name' -c 'Total IPs'", "web 253\n")
	c.says("neutrino ip availability show web -f value -c total_ips", "253\n")
	c.says("neutrino extension list --long -f csv -c Alias", `"subnet-service-types"`)
	c.says("neutrino network service provider list -f value", "True")
}

func TestAnOperatorMovesWorkBetweenAgents(t *testing.T) {
	c, _ := operated(t)
	c.run("neutrino network create web --availability-zone-hint nova")
	c.run("neutrino subnet create web-v4 --network web --subnet-range 10.1.0.0/24")
	c.run("neutrino router create r1 --external-gateway public --availability-zone-hint nova")
	c.run("neutrino router add subnet r1 web-v4")
	for _, row := range [][4]string{{"dhcp", "network", "web", "dhcp-agent"}, {"l3", "router", "r1", "l3-agent"}} {
		agent := c.value("neutrino network agent list --agent-type "+row[0]+" --host network1", "ID")
		c.says("neutrino network agent list --"+row[1]+" "+row[2]+" -f value -c Host -c Alive", "network1 True\n")
		c.says("neutrino "+row[1]+" list --agent "+agent+" -f value -c Name", row[2]+"\n")
		c.run("neutrino network agent remove " + row[1] + " " + agent + " " + row[2] + " --" + row[0])
		if out := c.run("neutrino network agent list -f value --" + row[1] + " " + row[2]); out != "" {
			t.Errorf("%s is still served by %s", row[2], out)
		}
		c.run("neutrino network agent add " + row[1] + " " + agent + " " + row[2] + " --" + row[0])
		c.refused("neutrino network agent add "+row[1]+" "+agent+" "+row[2], "is required; there is no other kind")
		short := strings.TrimPrefix(row[1], "net")
		if row[1] == "network" {
			short = "network"
		}
		c.says("neutron "+row[3]+"-"+short+"-remove "+agent+" "+row[2], "Removed "+row[1]+" "+row[2])
		c.says("neutron "+row[3]+"-"+short+"-add "+agent+" "+row[2], "Added "+row[1]+" "+row[2])
		c.run("neutrino network agent set " + agent + " --disable --description away")
		c.says("neutrino network agent show "+agent+" -f json", `"admin_state_up": false`, `"description": "away"`)
		c.run("neutrino network agent set " + agent + " --enable")
	}
	dhcp, l3 := c.value("neutrino network agent list --agent-type dhcp", "ID"), c.value("neutrino network agent list --agent-type l3", "ID")
	c.says("neutron net-list-on-dhcp-agent "+dhcp, "| web  |", "10.1.0.0/24")
	c.says("neutron dhcp-agent-list-hosting-net web", "network1", ":-)")
	c.says("neutron router-list-on-l3-agent "+l3, "| r1   |")
	c.says("neutron l3-agent-list-hosting-router r1", "network1")
	c.says("neutron router-port-list r1", "10.1.0.1")
	c.says("neutron net-external-list", "| public |")
	c.says("neutron agent-list", "DHCP agent", "network1")
}

func TestNeutronSpeaksOfPoolsPoliciesTagsAndQuotas(t *testing.T) {
	c := web(t)
	c.says("neutron address-scope-create inside 4 --shared", "Created a new address_scope:", "| ip_version | 4 ")
	c.says("neutron subnetpool-create p4 --pool-prefix 10.20.0.0/16 --default-prefixlen 26 --address-scope inside --shared", "Created a new subnetpool:")
	c.says("neutron subnetpool-update p4 --is-default True", "Updated subnetpool: p4")
	c.says("neutron subnetpool-list", "| default_prefixlen |", "10.20.0.0/16")
	c.run("neutron net-create apps --dns-domain a.example.")
	c.says("neutron subnet-create apps --subnetpool p4 --prefixlen 27 --name a", "/27")
	c.says("neutron subnet-create apps --subnetpool p4 --prefixlen 27 --name b --service-type compute:nova", "compute:nova")
	c.says("neutron port-create apps --name p --dns-name host --extra-dhcp-opt opt_name=bootfile-name,opt_value=b", "bootfile-name", "host")
	c.says("neutron rbac-create web --type network --action access_as_shared", "Created a new rbac_policy:", "| target_tenant | * ")
	c.says("neutron rbac-list", "network")
	c.says("neutron net-ip-availability-list", "| network_name |", "web")
	c.run("neutron tag-add --resource-type network --resource web --tag a")
	c.run("neutron tag-replace --resource-type network --resource web --tag b --tag c")
	c.run("neutron tag-remove --resource-type network --resource web --tag c")
	c.says("neutron net-list --tags b", "| web  |")
	c.run("neutron tag-remove --resource-type network --resource web --all")
	c.says("neutron net-show web -c tags", "| tags  |       |")
	c.refused("neutron tag-remove --resource-type network --resource web", "--tag or --all is required")
	c.says("neutron quota-update blue --network 7 --security-group 3", "| network             | 7 ")
	c.says("neutron quota-list -c network -c tenant_id", "blue")
	c.says("neutron quota-default-show", "| network             | 100 ")
	c.prints("neutron quota-delete --tenant-id blue", "Deleted quota: blue")
	c.refused("neutron subnet-create", "<network> is missing")
}

func TestMetersCountWhatTheirRulesSay(t *testing.T) {
	c := web(t)
	c.says("neutrino network meter create outside --share --description all -f json", `"name": "outside"`, `"shared": true`, `"description": "all"`)
	for options, want := range map[string]string{
		"--remote-ip-prefix 198.51.100.0/24":                                           "False ingress 198.51.100.0/24 None None",
		"--egress --exclude --remote-ip-prefix 203.0.113.0/24":                         "True egress 203.0.113.0/24 None None",
		"--egress --source-ip-prefix 10.1.0.0/24 --destination-ip-prefix 192.0.2.0/25": "False egress None 10.1.0.0/24 192.0.2.0/25",
	} {
		id := c.value("neutrino network meter rule create outside "+options, "id")
		c.says("neutrino network meter rule list -f value", id+" "+want+"\n")
		c.says("neutrino network meter rule show "+id+" -f json", `"metering_label_id": "`)
		c.run("neutrino network meter rule delete " + id)
	}
	c.says("neutron meter-label-list", "| outside |", "| True ")
	c.says("neutron meter-label-rule-create outside 198.51.100.0/24 --direction egress --excluded", "Created a new metering_label_rule:", "egress")
	c.refused("neutrino network meter rule create outsid --remote-ip-prefix 198.51.100.0/24", "No MeteringLabel found for outsid")
	c.run("neutrino network meter delete outside")
	c.prints("neutrino network meter list", "")
}
