package echoes

import "sync"

// pool is a websocket.BufferPool, as gorilla's documentation shows it.
type pool struct{ sync.Pool }
