"""What a batch must have for the batch norm of a detector to be trained."""

from core.base.errors import UserError

# From torch.nn.functional's check of batch norm in training.
_SINGLE_VALUE = "Expected more than 1 value per channel"


def require_two_images(error: ValueError, doing: str) -> None:
    """Say what torch's error of a batch of one image means; another error is left to the caller.

    Args:
        error: What was raised.
        doing: What meets it, in the user's words.

    Raises:
        UserError: It is that error.
    """
    if _SINGLE_VALUE in str(error):
        raise UserError("data.samples_per_gpu", 1, f"{doing} of a detector whose last feature map is 1x1, such as "
                        "SSDLite, needs two images a batch or more.",
                        "Set data.samples_per_gpu=2, or drop_last=True in data.train_dataloader where only the last "
                        "batch has one image.") from error
