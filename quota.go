package neutrino

// Quota is the limits that an administrator gave a project in the place of the
// defaults: /v2.0/quotas (api.md section 2.27).
type Quota struct {
	ProjectID string `json:"project_id"`
	// Limits by resource, as quotas name it; -1 is no limit. What is not here
	// has its default.
	Limits map[string]int `json:"limits"`
}

// NoLimit is the quota of a resource that a project may have any number of.
const NoLimit = -1

// OverQuota is the type of the error of a request that exceeds a quota: clients
// compare it (api.md section 1.10).
const OverQuota = "OverQuota"
