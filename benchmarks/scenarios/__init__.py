"""One module per benchmark; each promises `async def run(data, plan) -> list[Record]`."""
