package bench

import "time"

// Usage is what the server's process used in the part of a run that counts.
type Usage struct {
	PID              int     `json:"pid"`
	Cores            float64 `json:"cores"`            // processors in use, on average
	MicrosPerMessage float64 `json:"microsPerMessage"` // CPU for each message that came back
	Memory           uint64  `json:"memory"`           // resident bytes at the end
	MemoryBefore     uint64  `json:"memoryBefore"`     // resident bytes before the first connection
	MemoryPerConn    float64 `json:"memoryPerConn"`    // of what was added, for each connection; 0: unknown, it has not grown

	cpu time.Duration
}
