"""The client's logic as flows: generators that ask for effects and are driven by blocking or asynchronous code."""
