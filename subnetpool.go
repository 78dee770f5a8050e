package neutrino

import "net/netip"

// SubnetPool is a stock of addresses that subnets are cut from:
// /v2.0/subnetpools (api.md section 2.3).
type SubnetPool struct {
	ID        ID             `json:"id" api:"filter,sort"`
	Name      string         `json:"name" api:"post,put,filter,sort,required,max=255"`
	ProjectID string         `json:"project_id" api:"post,filter,sort,max=255"`
	Prefixes  []netip.Prefix `json:"prefixes" api:"post,put,required"`
	// DefaultQuota is how much one project may take: addresses of IPv4, networks
	// of 64 bits of IPv6; nil is any amount.
	DefaultQuota     *int `json:"default_quota" api:"post,put,filter,sort,min=0"`
	IPVersion        int  `json:"ip_version" api:"filter,sort"`
	DefaultPrefixLen int  `json:"default_prefixlen" api:"post,put,filter,sort,min=0"`
	MinPrefixLen     int  `json:"min_prefixlen" api:"post,put,filter,sort,min=0"`
	MaxPrefixLen     int  `json:"max_prefixlen" api:"post,put,filter,sort,min=0"`
	IsDefault        bool `json:"is_default" api:"post,put,filter,sort"`
	Shared           bool `json:"shared" api:"post,filter,sort"`
	AddressScopeID   ID   `json:"address_scope_id" api:"post,put,filter,sort,uuid,null"`
	Standard
	Tagged
}

// The prefix lengths of a pool that names none (api.md section 2.3).
const (
	MinPrefixLenIPv4 = 8
	MinPrefixLenIPv6 = 64
)
