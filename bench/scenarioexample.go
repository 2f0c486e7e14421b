package bench

import _ "embed"

// ScenarioExample is a scenario with every key there is, and what it means.
//
//go:embed scenario.example.yaml
var ScenarioExample string
