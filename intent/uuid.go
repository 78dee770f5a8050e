package intent

import (
	"strings"

	"neutrino"
	"neutrino/intent/work"
)

func nameID(name string) neutrino.ID { return work.NameID(name) }

func agentID(agentType, host string) neutrino.ID { return work.AgentID(agentType, host) }

// dhcpDeviceID is the device_id of the DHCP port of a network on a host
// (dataplane.md section 4.1): it is made of the host's name up to the first dot.
func dhcpDeviceID(host string, network neutrino.ID) string {
	short, _, _ := strings.Cut(host, ".")
	return "dhcp" + string(nameID(short)) + "-" + string(network)
}
