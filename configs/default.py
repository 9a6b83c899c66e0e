"""The assignment, to the letter: 19,114 parameters, 20 epochs, Adam, a halved rate after 15."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the config of the assignment."""
    config = ConfigDict()

    # Every random number comes from it: initial weights, order of the images, augmentation,
    # dropout.
    config.seed = 0

    # Name of the dataset: 'mnist'.
    config.dataset = "mnist"
    # Folder of the prepared datasets. If empty: the folder that the environment variable
    # TFDS_DATA_DIR names, or else ~/tensorflow_datasets.
    config.data_dir = ""
    # Images to train on, as a tfds slice. 'train[:55000]' leaves the last 5,000 for validation.
    config.train_split = "train"
    # Images to test on after every epoch, as a tfds slice; 'train[55000:]' for validation.
    config.test_split = "test"

    # Images in a step. The last step of an epoch takes the rest: 96 of 60,000. A larger batch
    # needs a larger learning_rate.
    config.batch_size = 128
    # How often every training image is seen.
    config.num_epochs = 20

    # 'adam': optax.adam with PyTorch's defaults (b1 0.9, b2 0.999, eps 1e-8).
    config.optimizer = "adam"
    # The largest learning rate. Without a warm-up the first step has it.
    config.learning_rate = 1e-3
    # How the learning rate changes from there on.
    config.schedule = ConfigDict()
    # 'step': PyTorch's StepLR, which changes it between epochs; 'cosine': half a wave, which
    # changes it in every step.
    config.schedule.kind = "step"
    # For 'step': epochs from one change of the learning rate to the next.
    config.schedule.step_size = 15
    # For 'step': the factor of each change.
    config.schedule.gamma = 0.5
    # For 'cosine': the share of the learning rate that is left at the end.
    config.schedule.end_factor = 0.0
    # Number of epochs, also a fraction, in which the learning rate rises evenly from 0 to what
    # the schedule says. Large batches and large learning rates need it.
    config.schedule.warmup_epochs = 0.0

    # The network, models.ConvNet.
    config.model = ConfigDict()
    # Its layers. A number is a convolution with that many features, then batch norm and ReLU.
    # The kernel is 3x3, or KxK if kK follows the number. 'pool' is 2x2 max pooling. 'same' is
    # the convolution before it once more, with the same kernel. Global average pooling and a
    # linear layer follow.
    config.model.architecture = "8 16 pool 16 32 pool 32 32k1"
    # Share of the activations that is set to zero after each pooling and before global average
    # pooling.
    config.model.dropout_rate = 0.05
    # Type of the activations and of the factors of every product: 'float32' or 'bfloat16'.
    # Parameters, sums, batch norm's statistics and the loss are always float32.
    config.model.dtype = "float32"

    # torchvision's transforms, drawn anew for every image in every epoch, in this order.
    config.augment = ConfigDict()
    # RandomApply([CenterCrop(crop_size)], p=crop_probability): share of the images cropped.
    config.augment.crop_probability = 0.1
    # Side in pixels of the square that is cut out and resized to 28.
    config.augment.crop_size = 22
    # RandomRotation(degrees): angles in [-degrees, degrees].
    config.augment.degrees = 10.0
    # ColorJitter(brightness, contrast), in random order: factors in [1 - x, 1 + x].
    config.augment.brightness = 0.2
    # The same for contrast.
    config.augment.contrast = 0.2
    # RandomAffine(0, translate): largest shift along each axis, as a share of the width. It is
    # drawn uniformly, then rounded to whole pixels.
    config.augment.translate = 0.1
    # RandomAffine(scale): the smallest factor of the size.
    config.augment.scale_min = 0.9
    # RandomAffine(scale): the largest factor of the size.
    config.augment.scale_max = 1.1

    # Share of the test images to get right. A run says whether it did, and at which epoch.
    config.target_accuracy = 0.994
    return config
