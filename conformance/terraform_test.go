package main

import "testing"

func TestATestOfAnExtensionThatIsMissingIsNamed(t *testing.T) {
	for name, want := range map[string]string{
		"TestAccNetworkingV2Network_basic":                       "",
		"TestAccNetworkingV2SubnetPool_Basic":                    "",
		"TestAccNetworkingV2Network_qos_policy_create":           "qos",
		"TestAccNetworkingV2QoSPolicyBasic":                      "qos",
		"TestAccOpenStackNetworkingSegmentV2DataSource_basic":    "segment",
		"TestAccNetworkingV2Segment_importBasic":                 "segment",
		"TestAccNetworkingV2Network_multipleSegmentMappings":     "multi-provider",
		"TestAccNetworkingV2Trunk_subports":                      "",
		"TestAccNetworkingV2SecGroupRule_addressgroup":           "address-group",
		"TestAccNetworkingV2Network_transparent_vlan_Create":     "vlan-transparent",
		"TestAccOpenStackNetworkingNetworkV2DataSource_external": "",
	} {
		if got := lacks(name, []string{"trunk", "router"}); got != want {
			t.Errorf("%s lacks %q, want %q", name, got, want)
		}
	}
}
