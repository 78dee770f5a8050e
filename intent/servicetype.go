package intent

import (
	"slices"
	"strings"

	"neutrino"
)

// checkServiceTypes refuses what is no owner of ports, <service>:<what>, and takes
// each once. Which services there are, ports say: their owner is free text.
func checkServiceTypes(s *neutrino.Subnet) error {
	var list []string
	for _, t := range s.ServiceTypes {
		service, _, ok := strings.Cut(t, ":")
		if !ok || service == "" || strings.Trim(service, "abcdefghijklmnopqrstuvwxyz") != "" || len(t) > 255 || hasControl(t) {
			return neutrino.Errorf(neutrino.Invalid, "InvalidSubnetServiceType",
				"Subnet service type %s does not correspond to a valid device owner.", strings.ToValidUTF8(t, "?"))
		}
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	s.ServiceTypes = list
	return nil
}

// serving are the subnets that ports of the owner get addresses of unasked: those
// that name the owner come first (api.md section 3.3).
func serving(subnets []*neutrino.Subnet, owner string) []*neutrino.Subnet {
	var named, open []*neutrino.Subnet
	for _, s := range subnets {
		switch {
		case slices.Contains(s.ServiceTypes, owner):
			named = append(named, s)
		case s.Serves(owner):
			open = append(open, s)
		}
	}
	return append(named, open...)
}

// noService is the error of a port that no subnet of its network is for.
func noService(network neutrino.ID, owner string) error {
	return neutrino.Errorf(neutrino.Conflict, "IpAddressGenerationFailureNoMatchingSubnet",
		"No valid service subnet for the given device owner '%s' on network %s: no subnet has it in its service_types.", owner, network)
}
