package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/config"
	"neutrino/intent"
)

// parseMTUs reads "<physical network>:<MTU>,…".
func parseMTUs(s string) (map[string]int, error) {
	out := map[string]int{}
	for _, w := range config.Words(s) {
		physical, mtu, ok := strings.Cut(w, ":")
		n, err := strconv.Atoi(strings.TrimSpace(mtu))
		if !ok || physical == "" || err != nil || n < neutrino.MinMTUIPv4 {
			return nil, fmt.Errorf("%q is no MTU of a physical network; write <physical network>:<MTU>", w)
		}
		out[physical] = n
	}
	return out, nil
}

func physicalMTUs(s string) error {
	_, err := parseMTUs(s)
	return err
}

// parseVLANs reads "<physical network>[:<first>:<last>],…". A physical network
// may stand several times.
func parseVLANs(s string) (map[string][]intent.Range, error) {
	out := map[string][]intent.Range{}
	for _, w := range config.Words(s) {
		physical, vlans, ranged := strings.Cut(w, ":")
		if physical == "" {
			return nil, fmt.Errorf("%q names no physical network", w)
		}
		var given []intent.Range // none: the physical network is named, and no more
		if ranged {
			r, err := parseRange(vlans)
			if err != nil || r.Max > neutrino.MaxVLAN {
				return nil, fmt.Errorf("%q is no range of VLANs; write <physical network>:<first>:<last>, within 1 and %d", w, neutrino.MaxVLAN)
			}
			given = []intent.Range{r}
		}
		out[physical] = append(out[physical], given...)
	}
	return out, nil
}

func vlanRanges(s string) error {
	_, err := parseVLANs(s)
	return err
}

// positive accepts a whole number above 0.
func positive(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return errors.New("write a whole number above 0")
	}
	return nil
}
