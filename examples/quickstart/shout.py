from goplugin import batch


@batch.processor
def shout(message: batch.Message, config: batch.Config) -> batch.Message:
    message.payload = message.payload.upper() + str(config["suffix"]).encode()
    return message


if __name__ == "__main__":
    batch.serve(shout)
