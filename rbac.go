package neutrino

// RBACPolicy gives a project, or all of them, a right on one object of another:
// /v2.0/rbac-policies (api.md sections 1.9 and 2.16).
type RBACPolicy struct {
	ID            ID         `json:"id" api:"filter,sort"`
	ProjectID     string     `json:"project_id" api:"post,filter,sort,max=255"`
	ObjectType    string     `json:"object_type" api:"post,filter,sort,required"`
	ObjectID      ID         `json:"object_id" api:"post,filter,sort,required,uuid"`
	Action        RBACAction `json:"action" api:"post,filter,sort,required"`
	TargetProject string     `json:"target_tenant" api:"post,put,filter,sort,required,max=255"`
}

// RBACAction is the right that an [RBACPolicy] gives.
type RBACAction string

// The rights.
const (
	AccessAsShared   RBACAction = "access_as_shared"
	AccessAsExternal RBACAction = "access_as_external"
)

// EveryProject is the target of an [RBACPolicy] for all projects.
const EveryProject = "*"
