"""HTTP/1.1 on asyncio: a strict reader of requests, a writer of answers, and one process's listener."""
